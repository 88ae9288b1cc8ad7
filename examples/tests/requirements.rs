//! The page of requirements is complete, in order, and names only tests that exist.

use std::fs;

/// How many requirements the page holds.
const ITEMS: usize = 132;

/// The crates that may own a requirement.
const CRATES: [&str; 4] = ["pki-core", "rotation-fsm", "trust-model", "signer-hsm"];

/// The header of a table of requirements, cell by cell.
const HEADER: [&str; 4] = ["#", "Crate", "Requirement", "Tests"];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/requirements.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a faultless page says about itself.
#[derive(Debug, PartialEq, Eq)]
struct Coverage {
    /// All requirements of the page.
    items: usize,
    /// Those with at least one named test.
    shown: usize,
}

/// Checks a whole page; `read` gives the text of a file of the workspace, by its path from the root.
///
/// All faults are reported, not only the first.
fn check(markdown: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Coverage, Vec<String>> {
    let mut faults = Vec::new();
    let mut items = 0;
    let mut shown = 0;
    let mut in_table = false;

    for (index, line) in markdown.lines().enumerate() {
        let Some(cells) = cells(line) else {
            in_table = false;
            continue;
        };
        if cells == HEADER {
            in_table = true;
            continue;
        }
        if !in_table || is_rule(&cells) {
            continue;
        }
        let at = index + 1;
        let [number, owner, requirement, tests] = cells.as_slice() else {
            faults.push(format!("line {at}: {} cells instead of {}", cells.len(), HEADER.len()));
            continue;
        };
        items += 1;
        if number.parse() != Ok(items) {
            faults.push(format!("line {at}: item `{number}` where {items} is due"));
            // One fault per gap: go on from the number that stands here.
            items = number.parse().unwrap_or(items);
        }
        if !CRATES.contains(&owner.as_str()) {
            faults.push(format!("line {at}: item {number}: unknown crate `{owner}`"));
        }
        if requirement.is_empty() {
            faults.push(format!("line {at}: item {number}: no requirement"));
        }
        if tests.is_empty() {
            continue;
        }
        shown += 1;
        for entry in tests.split(", ") {
            if let Err(fault) = check_entry(entry, read) {
                faults.push(format!("line {at}: item {number}: {fault}"));
            }
        }
    }

    if items != ITEMS {
        faults.push(format!("the page ends with item {items} instead of {ITEMS}"));
    }
    if faults.is_empty() { Ok(Coverage { items, shown }) } else { Err(faults) }
}

/// Splits a row of a table into trimmed cells; `\|` is a bar inside a cell. `None` if the line is not a row.
fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.trim().strip_prefix('|')?;
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut escaped = false;
    for c in inside.chars() {
        match c {
            '|' if escaped => {
                cell.pop();
                cell.push('|');
            }
            '|' => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            _ => cell.push(c),
        }
        escaped = c == '\\';
    }
    if !cell.trim().is_empty() {
        // A row without its closing bar.
        cells.push(cell.trim().to_owned());
    }
    Some(cells)
}

/// Whether the row is the line of dashes under a header.
fn is_rule(cells: &[String]) -> bool {
    cells.iter().all(|cell| cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':')))
}

/// Checks one entry of a test cell, backticks included.
fn check_entry(entry: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    let malformed = || format!("{entry} is not of the form `path/from/root.rs::test_name`");
    let bare = entry.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).ok_or_else(malformed)?;
    let (path, name) = bare.split_once("::").ok_or_else(malformed)?;
    let stays_inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !path.ends_with(".rs") || !stays_inside || !is_identifier(name) {
        return Err(malformed());
    }
    let source = read(path).ok_or_else(|| format!("no file `{path}`"))?;
    has_test(&source, name).map_err(|fault| format!("`{path}`: {fault}"))
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether the source has a test function of this name that runs.
fn has_test(source: &str, name: &str) -> Result<(), String> {
    let opening = format!("fn {name}(");
    let mut fault = format!("no function `{name}`");
    // What stands directly above the current line: attributes and comments, nothing else.
    let mut is_test = false;
    let mut is_ignored = false;
    let mut in_attribute = false;

    for line in source.lines().map(str::trim) {
        if in_attribute {
            in_attribute = !line.ends_with(']');
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
            is_ignored |= line.starts_with("#[ignore");
            in_attribute = !line.ends_with(']');
        } else if line.starts_with("//") {
            // A comment neither opens nor ends the attributes of a function.
        } else {
            let declares = line.starts_with(&opening) || line.starts_with(&format!("pub {opening}"));
            match (declares, is_test, is_ignored) {
                (true, true, false) => return Ok(()),
                (true, true, true) => fault = format!("the test `{name}` is ignored"),
                (true, false, _) => fault = format!("the function `{name}` is not marked with #[test]"),
                (false, _, _) => {}
            }
            is_test = false;
            is_ignored = false;
        }
    }
    Err(fault)
}

/// A faultless page with the given text in the test cell of every item that `tests` names.
fn page(tests: &dyn Fn(usize) -> &'static str) -> String {
    let mut page = String::from("# Title\n\nText.\n\n| # | Crate | Requirement | Tests |\n|---|---|---|---|\n");
    for item in 1..=ITEMS {
        page.push_str(&format!("| {item} | pki-core | Something `a \\| b` holds. | {} |\n", tests(item)));
    }
    page
}

/// A workspace of one file.
fn one_file(path: &str) -> Option<String> {
    let source = "
        fn helper() {}

        #[test]
        fn plain() {}

        /// Says why.
        #[test]
        #[should_panic(
            expected = \"reason\"
        )]
        // A remark.
        fn decorated() {
            helper();
        }

        #[test]
        #[ignore = \"slow\"]
        fn skipped() {}

        proptest! {
            #[test]
            fn property(x in any::<u8>()) {}
        }
        ";
    (path == "pki-core/tests/a.rs").then(|| source.to_owned())
}

/// The faults of a page whose item 7 has the given test cell.
fn faults_of(cell: &'static str) -> Vec<String> {
    check(&page(&|item| if item == 7 { cell } else { "" }), &one_file).err().unwrap_or_default()
}

#[test]
fn every_requirement_is_listed_and_every_named_test_exists() {
    let markdown = fs::read_to_string(PAGE).unwrap();
    let read = |path: &str| fs::read_to_string(format!("{ROOT}/{path}")).ok();
    match check(&markdown, &read) {
        Ok(coverage) => {
            println!("{} of {} items are shown by named tests", coverage.shown, coverage.items);
        }
        Err(faults) => panic!("docs/requirements.md:\n{}", faults.join("\n")),
    }
}

#[test]
fn a_page_without_tests_is_faultless() {
    assert_eq!(check(&page(&|_| ""), &one_file), Ok(Coverage { items: ITEMS, shown: 0 }));
}

#[test]
fn items_are_counted_once_however_many_tests_they_name() {
    let page = page(&|item| match item {
        1 => "`pki-core/tests/a.rs::plain`, `pki-core/tests/a.rs::decorated`",
        132 => "`pki-core/tests/a.rs::property`",
        _ => "",
    });
    assert_eq!(check(&page, &one_file), Ok(Coverage { items: ITEMS, shown: 2 }));
}

#[test]
fn a_missing_file_is_a_fault() {
    assert_eq!(faults_of("`pki-core/tests/b.rs::plain`"), ["line 13: item 7: no file `pki-core/tests/b.rs`"]);
}

#[test]
fn a_missing_function_is_a_fault() {
    for (cell, name) in [("`pki-core/tests/a.rs::plai`", "plai"), ("`pki-core/tests/a.rs::lain`", "lain")] {
        assert_eq!(
            faults_of(cell),
            [format!("line 13: item 7: `pki-core/tests/a.rs`: no function `{name}`")],
            "part of a name is not the name"
        );
    }
}

#[test]
fn a_function_without_the_test_attribute_is_a_fault() {
    assert_eq!(
        faults_of("`pki-core/tests/a.rs::helper`"),
        ["line 13: item 7: `pki-core/tests/a.rs`: the function `helper` is not marked with #[test]"]
    );
}

#[test]
fn the_attribute_of_another_function_does_not_count() {
    assert_eq!(
        has_test("#[test]\nfn first() {}\nfn second() {}\n", "second"),
        Err("the function `second` is not marked with #[test]".to_owned())
    );
    assert!(has_test("// #[test]\nfn commented() {}\n", "commented").is_err());
    assert!(has_test("#[test]\n// fn commented() {}\n", "commented").is_err());
}

#[test]
fn an_ignored_test_is_a_fault() {
    assert_eq!(
        faults_of("`pki-core/tests/a.rs::skipped`"),
        ["line 13: item 7: `pki-core/tests/a.rs`: the test `skipped` is ignored"]
    );
}

#[test]
fn a_malformed_entry_is_a_fault() {
    for cell in [
        "pki-core/tests/a.rs::plain",
        "`pki-core/tests/a.rs`",
        "`pki-core/tests/a.rs::`",
        "`pki-core/tests/a.rs::tests::plain`",
        "`pki-core/tests/a.rs::plain`,`pki-core/tests/a.rs::plain`",
        "`pki-core/tests/a.rs::plain` `pki-core/tests/a.rs::plain`",
        "`pki-core/tests/a::plain`",
        "`/pki-core/tests/a.rs::plain`",
        "`pki-core/../pki-core/tests/a.rs::plain`",
        "todo",
    ] {
        assert_eq!(
            faults_of(cell),
            [format!("line 13: item 7: {cell} is not of the form `path/from/root.rs::test_name`")]
        );
    }
}

#[test]
fn a_gap_in_the_numbering_is_one_fault() {
    let page = page(&|_| "").lines().filter(|line| !line.starts_with("| 5 |")).collect::<Vec<_>>().join("\n");
    assert_eq!(check(&page, &one_file), Err(vec!["line 11: item `6` where 5 is due".to_owned()]));
}

#[test]
fn a_repeated_number_is_a_fault() {
    let page = page(&|_| "").replace("| 6 |", "| 5 |");
    assert_eq!(
        check(&page, &one_file),
        Err(vec!["line 12: item `5` where 6 is due".to_owned(), "line 13: item `7` where 6 is due".to_owned()])
    );
}

#[test]
fn a_page_that_ends_early_or_late_is_a_fault() {
    let whole = page(&|_| "");
    let short = whole.lines().filter(|line| !line.starts_with("| 132 |")).collect::<Vec<_>>().join("\n");
    assert_eq!(check(&short, &one_file), Err(vec!["the page ends with item 131 instead of 132".to_owned()]));
    let long = format!("{whole}| 133 | pki-core | One more. | |\n");
    assert_eq!(check(&long, &one_file), Err(vec!["the page ends with item 133 instead of 132".to_owned()]));
    assert_eq!(check("", &one_file), Err(vec!["the page ends with item 0 instead of 132".to_owned()]));
}

#[test]
fn an_unknown_crate_and_an_empty_requirement_are_faults() {
    let page = page(&|_| "")
        .replace("| 2 | pki-core |", "| 2 | pki |")
        .replace("| 3 | pki-core | Something `a \\| b` holds. |", "| 3 | pki-core | |");
    assert_eq!(
        check(&page, &one_file),
        Err(vec!["line 8: item 2: unknown crate `pki`".to_owned(), "line 9: item 3: no requirement".to_owned()])
    );
}

#[test]
fn a_bar_that_is_not_escaped_is_a_fault() {
    let page = page(&|_| "").replacen("a \\| b", "a | b", 1);
    assert_eq!(
        check(&page, &one_file),
        Err(vec!["line 7: 5 cells instead of 4".to_owned(), "line 8: item `2` where 1 is due".to_owned()])
    );
}
