//! A picture of a rotation: per component and authority, which generations it trusts and whose leaf it
//! presents, over time.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, Plane};
use rotation_fsm::{ConsumerId, VersionRange};
use svg::Document;
use svg::node::element::{Group, Line, Rectangle, Style, Text, Title};

/// What a component holds of one authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holding {
    /// The generations it trusts, over all its bundles.
    pub trust: Option<VersionRange>,
    /// The oldest generation whose leaf it presents.
    pub leaf: Option<CaVersion>,
    /// Whether a leaf of it is presented with a cross-certificate.
    pub chained: bool,
}

impl Holding {
    pub(crate) fn trusts(&mut self, versions: VersionRange) {
        self.trust = Some(self.trust.map_or(versions, |trust| {
            VersionRange::between(trust.first().min(versions.first()), trust.last().max(versions.last()))
        }));
    }

    pub(crate) fn presents(&mut self, version: CaVersion, chained: bool) {
        self.chained |= chained;
        self.leaf = Some(self.leaf.map_or(version, |leaf| leaf.min(version)));
    }
}

/// From when on a component held something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Milliseconds from the beginning of the run.
    pub at_ms: u64,
    /// Who.
    pub component: ConsumerId,
    /// Of which authority.
    pub role: AuthorityRole,
    /// What.
    pub holding: Holding,
}

/// Everything that a picture shows.
#[derive(Clone, Debug)]
pub struct Timeline {
    title: String,
    rows: BTreeMap<(ConsumerId, AuthorityRole), Vec<(u64, Holding)>>,
    stages: Vec<(String, u64)>,
    end_ms: u64,
    hidden: usize,
}

/// Nodes in the picture. Of more, the rest looks like these.
const NODES_MAX: usize = 6;
const LABELS: i32 = 310;
const CHART: i32 = 830;
const ROW: i32 = 16;
const TOP: i32 = 92;
const MARGIN: i32 = 16;
/// Stage names stand below the chart in so many columns.
const LEGEND_COLUMNS: usize = 4;

/// Legible on light and on dark pages: the picture brings its own ground, and follows the reader's preference.
const STYLE: &str = "
.ground { fill: #ffffff; } .band { fill: #f3f4f6; }
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; fill: #111827; }
.title { font-size: 15px; font-weight: bold; } .quiet { fill: #4b5563; }
.stage { stroke: #9ca3af; stroke-width: 1; stroke-dasharray: 2 3; }
.old { fill: #d97706; } .both { fill: #7c3aed; } .new { fill: #0891b2; } .chained { fill: #16a34a; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0f172a; } .band { fill: #1e293b; } text { fill: #e5e7eb; } .quiet { fill: #9ca3af; }
  .stage { stroke: #475569; } .old { fill: #f59e0b; } .both { fill: #a78bfa; } .new { fill: #22d3ee; } .chained { fill: #4ade80; }
}";

impl Timeline {
    pub(crate) fn new(title: String, changes: Vec<Change>, stages: Vec<(String, u64)>, end_ms: u64) -> Self {
        let nodes: BTreeSet<_> = changes
            .iter()
            .filter(|change| change.component.kind().plane() == Plane::Data)
            .map(|change| change.component.instance().clone())
            .collect();
        let shown: BTreeSet<_> = nodes.iter().take(NODES_MAX).cloned().collect();
        let hidden = nodes.len() - shown.len();
        let mut rows: BTreeMap<_, Vec<(u64, Holding)>> = BTreeMap::new();
        for Change { at_ms, component, role, holding } in changes {
            if component.kind().plane() == Plane::Data && !shown.contains(component.instance()) {
                continue;
            }
            let row = rows.entry((component, role)).or_default();
            // Only what differs is a change.
            if row.last().is_none_or(|(_, last)| *last != holding) {
                row.push((at_ms, holding));
            }
        }
        Self { title, rows, stages, end_ms, hidden }
    }

    /// The picture, as SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let rows = i32::try_from(self.rows.len()).unwrap_or(i32::MAX / ROW);
        let legend_rows = i32::try_from(self.stages.len().div_ceil(LEGEND_COLUMNS)).unwrap_or_default();
        let bottom = TOP + rows * ROW;
        let (width, height) = (LABELS + CHART + 2 * MARGIN, bottom + 44 + legend_rows * 15 + MARGIN);
        let mut document = Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .add(Title::new(format!("CA rotation of a {} cluster", self.title)))
            .add(Style::new(STYLE))
            .add(rectangle("ground", 0, 0, width, height))
            .add(text("title", MARGIN, 26, format!("CA rotation, {}", self.title)));
        document = document.add(Self::key());
        document = document.add(self.bands());
        for (index, (_, at_ms)) in self.stages.iter().enumerate() {
            let x = self.x(*at_ms);
            document = document
                .add(Line::new().set("class", "stage").set("x1", x).set("x2", x).set("y1", TOP - 6).set("y2", bottom))
                .add(text("quiet", x + 2, TOP - 8 - i32::from(index % 2 == 1) * 11, (index + 1).to_string()));
        }
        document = document.add(self.segments());
        document = document.add(self.axis(bottom));
        for (index, (id, _)) in self.stages.iter().enumerate() {
            let (column, row) = (
                index / usize::try_from(legend_rows.max(1)).unwrap_or(1),
                index % usize::try_from(legend_rows.max(1)).unwrap_or(1),
            );
            let x = MARGIN + i32::try_from(column).unwrap_or_default() * (width - 2 * MARGIN) / 4;
            let y = bottom + 52 + i32::try_from(row).unwrap_or_default() * 15;
            document = document.add(text("quiet", x, y, format!("{:>2} {id}", index + 1)));
        }
        document.to_string()
    }

    /// What the colours mean.
    fn key() -> Group {
        let entries = [
            ("old", "generation 1"),
            ("both", "both"),
            ("new", "generation 2"),
            ("chained", "generation 2 with a cross-certificate"),
        ];
        let meaning = "upper bar: what it trusts, lower bar: whose certificate or token it presents";
        let mut group = Group::new();
        let mut x = MARGIN;
        for (class, name) in entries {
            group = group.add(rectangle(class, x, 38, 12, 10)).add(text("quiet", x + 18, 47, name.to_owned()));
            x += 44 + 7 * i32::try_from(name.len()).unwrap_or_default();
        }
        group.add(text("quiet", x + 12, 47, meaning.to_owned()))
    }

    /// The labels, every second component on a band.
    fn bands(&self) -> Group {
        let (mut group, mut component, mut banded) = (Group::new(), None, true);
        for (index, (consumer, role)) in self.rows.keys().enumerate() {
            let y = TOP + i32::try_from(index).unwrap_or_default() * ROW;
            let first = component != Some(consumer);
            if first {
                component = Some(consumer);
                banded = !banded;
            }
            if banded {
                group = group.add(rectangle("band", MARGIN, y, LABELS + CHART, ROW));
            }
            if first {
                group = group.add(text("", MARGIN + 4, y + 12, consumer.to_string()));
            }
            group = group.add(text("quiet", MARGIN + 196, y + 12, role.to_string()));
        }
        group
    }

    fn segments(&self) -> Group {
        let newest = |versions: VersionRange| if versions.last() == CaVersion::FIRST { "old" } else { "new" };
        let mut group = Group::new();
        for (index, changes) in self.rows.values().enumerate() {
            let y = TOP + i32::try_from(index).unwrap_or_default() * ROW;
            let ends = changes.iter().skip(1).map(|(at_ms, _)| *at_ms).chain([self.end_ms]);
            for ((from, holding), until) in changes.iter().zip(ends) {
                let (x, width) = (self.x(*from), (self.x(until) - self.x(*from)).max(1));
                if let Some(trust) = holding.trust {
                    let class = if trust.first() == trust.last() { newest(trust) } else { "both" };
                    group = group.add(rectangle(class, x, y + 2, width, 7));
                }
                if let Some(leaf) = holding.leaf {
                    let class = if holding.chained { "chained" } else { newest(VersionRange::only(leaf)) };
                    group = group.add(rectangle(class, x, y + 10, width, 4));
                }
            }
        }
        group
    }

    fn axis(&self, bottom: i32) -> Group {
        let step = (self.end_ms / 8 / 1000).max(1) * 1000;
        let mut group = Group::new();
        for at_ms in (0..=self.end_ms).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            group = group.add(text("quiet", self.x(at_ms), bottom + 16, format!("{} s", at_ms / 1000)));
        }
        if self.hidden > 0 {
            let note = format!("and {} more nodes", self.hidden);
            group = group.add(text("quiet", MARGIN + 4, bottom + 16, note));
        }
        group
    }

    fn x(&self, at_ms: u64) -> i32 {
        let chart = u64::try_from(CHART).unwrap_or_default();
        let offset = (at_ms.min(self.end_ms) * chart).checked_div(self.end_ms).unwrap_or_default();
        MARGIN + LABELS + i32::try_from(offset).unwrap_or_default()
    }
}

fn rectangle(class: &str, x: i32, y: i32, width: i32, height: i32) -> Rectangle {
    Rectangle::new().set("class", class).set("x", x).set("y", y).set("width", width).set("height", height)
}

fn text(class: &str, x: i32, y: i32, content: String) -> Text {
    Text::new(content).set("class", class).set("x", x).set("y", y)
}
