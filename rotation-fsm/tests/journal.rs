//! Whatever octets a journal holds, reading them ends, and what is accepted is whole.

#[cfg(test)]
#[path = "support/journal.rs"]
mod journal;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::journal::read;

    /// The goldens by kind: snapshots, and records.
    fn goldens() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal");
        let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let is_snapshot = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("snapshot");
        let (snapshots, records): (Vec<_>, Vec<_>) = paths.iter().partition(|path| is_snapshot(path));
        let read = |paths: Vec<_>| paths.into_iter().map(|path| fs::read(path).unwrap()).collect();
        (read(snapshots), read(records))
    }

    /// A sequence of numbers without end, the same in every run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
        }
    }

    fn mutate(octets: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(octets.len());
        match dice.below(6) {
            0 => octets.truncate(at),
            1 => octets[at] ^= 1 << dice.below(8),
            2 => drop(octets.remove(at)),
            // Digits make other numbers, times and holdings, which are still JSON.
            _ => match octets.iter().skip(at).position(u8::is_ascii_digit) {
                Some(ahead) => octets[at + ahead] = b"0123456789"[dice.below(10)],
                None => octets.insert(at, b"0\"{}[],:"[dice.below(8)]),
            },
        }
    }

    #[test]
    fn every_golden_is_accepted() {
        let (snapshots, records) = goldens();
        assert!(snapshots.len() > 5 && records.len() > 20);
        for record in &records {
            assert_eq!(read(record), 1);
        }
        let tail = records.join(&0);
        for snapshot in &snapshots {
            assert_eq!(read(snapshot), 2);
            let journal = [snapshot.as_slice(), &tail].join(&0);
            assert_eq!(read(&journal), 2 + records.len());
        }
    }

    #[test]
    fn no_mutation_of_a_golden_does_harm() {
        let (snapshots, records) = goldens();
        let (mut dice, mut accepted, mut refused) = (Dice(11), 0, 0);
        for snapshot in &snapshots {
            for _ in 0..150 {
                let mut parts = vec![snapshot.clone()];
                for _ in 0..4 {
                    parts.push(records[dice.below(records.len())].clone());
                }
                for part in &mut parts {
                    if dice.below(2) == 0 {
                        mutate(part, &mut dice);
                    }
                }
                let all = parts.len() + 1;
                match read(&parts.join(&0)) {
                    some if some == all => accepted += 1,
                    _ => refused += 1,
                }
            }
        }
        // Both ways are taken, or this shows little.
        assert!(accepted > 20 && refused > 200, "{accepted} {refused}");
    }

    #[test]
    fn depth_and_length_have_their_end() {
        for open in ["[", "{\"version\":1,\"snapshot\":", "{\"version\":2,\"a\":"] {
            assert_eq!(read(open.repeat(100_000).as_bytes()), 0);
        }
        assert_eq!(read(&[0; 100_000]), 0);
    }
}
