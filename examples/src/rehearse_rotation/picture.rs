//! A rehearsal as a picture: its stages over time, the windows behind them, and the days that matter before the expiry.

use rotation_fsm::{StepKind, Timeline};
use svg::Document;
use svg::node::element::{Line, Rectangle, Style, Text, Title};
use time::{Duration, UtcDateTime};

use super::Rehearsed;

const LABELS: i32 = 250;
const CHART: i32 = 830;
const ROW: i32 = 18;
const TOP: i32 = 88;
const MARGIN: i32 = 16;
/// Windows in the picture: of more, bands would be thinner than a line.
const WINDOWS_MAX: usize = 400;

/// Legible on light and on dark pages: the picture brings its own ground, and follows the reader's preference.
const STYLE: &str = "
.ground { fill: #ffffff; } .window { fill: #e0f2fe; }
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; fill: #111827; }
.title { font-size: 15px; font-weight: bold; } .quiet { fill: #4b5563; }
.control { fill: #7c3aed; } .nodes { fill: #0891b2; } .outside { fill: #d97706; } .other { fill: #6b7280; }
.day { stroke: #9ca3af; stroke-width: 1; stroke-dasharray: 2 3; } .expiry { stroke: #dc2626; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0f172a; } .window { fill: #164e63; } text { fill: #e5e7eb; } .quiet { fill: #9ca3af; }
  .control { fill: #a78bfa; } .nodes { fill: #22d3ee; } .outside { fill: #f59e0b; } .other { fill: #9ca3af; }
  .day { stroke: #475569; } .expiry { stroke: #f87171; }
}";

/// From the start to the completion and a little beyond; to the expiry where that is near.
struct Scale {
    from: UtcDateTime,
    seconds: i64,
}

impl Scale {
    fn of(timeline: &Timeline) -> Self {
        let takes = timeline.takes().max(Duration::MINUTE);
        let near = timeline.completes.saturating_add(takes);
        let expiry = timeline.expiry.filter(|expiry| *expiry <= near).unwrap_or(timeline.completes);
        let until = expiry.max(timeline.completes).saturating_add(takes / 20);
        Self { from: timeline.begins, seconds: (until - timeline.begins).whole_seconds().max(1) }
    }

    fn until(&self) -> UtcDateTime {
        self.from.saturating_add(Duration::seconds(self.seconds))
    }

    fn x(&self, at: UtcDateTime) -> i32 {
        let passed = (at - self.from).whole_seconds().clamp(0, self.seconds);
        MARGIN + LABELS + i32::try_from(passed.saturating_mul(i64::from(CHART)) / self.seconds).unwrap_or_default()
    }
}

/// The picture, as SVG.
#[must_use]
pub fn picture(rehearsed: &Rehearsed) -> String {
    let (timeline, scale) = (&rehearsed.timeline, Scale::of(&rehearsed.timeline));
    let rows = i32::try_from(timeline.stages.len()).unwrap_or(i32::MAX / ROW);
    let bottom = TOP + rows * ROW;
    let (width, height) = (LABELS + CHART + 2 * MARGIN, bottom + 40 + MARGIN);
    let title = format!("Rehearsal of `{}`: {}", timeline.unit, timeline.strategy);
    let mut document = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(title.clone()))
        .add(Style::new(STYLE))
        .add(rectangle("ground", 0, 0, width, height))
        .add(text("title", MARGIN, 26, title))
        .add(text("quiet", MARGIN, 46, dates(timeline)));
    if rehearsed.calendar.has_windows() {
        let open = rehearsed.calendar.open_intervals(StepKind::RecreateNodes, scale.from, scale.until());
        for window in open.take(WINDOWS_MAX) {
            let (x, end) = (scale.x(window.start), scale.x(window.end));
            document = document.add(rectangle("window", x, TOP, (end - x).max(1), bottom - TOP));
        }
    }
    let mut y = TOP;
    for stage in &timeline.stages {
        let (x, end) = (scale.x(stage.begins), scale.x(stage.ends));
        let name = stage.id.to_string();
        document = document.add(text("", MARGIN, y + 13, name.clone())).add(rectangle(
            class(&name),
            x,
            y + 3,
            (end - x).max(2),
            ROW - 6,
        ));
        y += ROW;
    }
    for (name, class, at) in days(timeline) {
        if (scale.from..=scale.until()).contains(&at) {
            let x = scale.x(at);
            let line = Line::new().set("class", class).set("x1", x).set("x2", x).set("y1", TOP - 6).set("y2", bottom);
            document = document.add(line).add(text("quiet", x + 2, TOP - 8, name.to_owned()));
        }
    }
    let legend = "violet: control plane, blue: nodes, amber: clients outside, light: maintenance windows";
    document
        .add(text("quiet", MARGIN + LABELS, bottom + 16, day(scale.from)))
        .add(text("quiet", MARGIN + LABELS + CHART - 70, bottom + 16, day(scale.until())))
        .add(text("quiet", MARGIN, bottom + 34, legend.to_owned()))
        .to_string()
}

fn dates(timeline: &Timeline) -> String {
    let expiry = timeline.expiry.map(|expiry| format!(", expiry {}", day(expiry))).unwrap_or_default();
    let latest = timeline.latest_start.map(|latest| format!(", latest safe start {}", day(latest)));
    let (begins, completes) = (day(timeline.begins), day(timeline.completes));
    format!("{begins} to {completes}{expiry}{}", latest.unwrap_or_default())
}

/// The days before the expiry at which GKE begins by itself, and at which a cluster is DEGRADED.
fn days(timeline: &Timeline) -> Vec<(&'static str, &'static str, UtcDateTime)> {
    let Some(expiry) = timeline.expiry else { return Vec::new() };
    let before = |days| expiry.saturating_sub(Duration::days(days));
    vec![("30 days", "day", before(30)), ("7 days", "day", before(7)), ("expiry", "expiry", expiry)]
}

fn day(at: UtcDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    format!("{year:04}-{:02}-{day:02}", u8::from(month))
}

fn class(stage: &str) -> &'static str {
    match stage {
        _ if stage.starts_with("node-") => "nodes",
        _ if stage.starts_with("external-") => "outside",
        "mint" | "cross-sign" | "destroy-keys" => "other",
        _ => "control",
    }
}

fn rectangle(class: &str, x: i32, y: i32, width: i32, height: i32) -> Rectangle {
    Rectangle::new().set("class", class).set("x", x).set("y", y).set("width", width).set("height", height)
}

fn text(class: &str, x: i32, y: i32, content: String) -> Text {
    Text::new(content).set("class", class).set("x", x).set("y", y)
}
