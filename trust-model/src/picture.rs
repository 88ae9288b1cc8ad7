//! The report as a map of the cluster: components as boxes, paths as arrows with their verdicts.

use svg::Document;
use svg::node::element::{Line, Polygon, Rectangle, Style, Text, Title};

use pki_core::Path;

use crate::channel::Channel;
use crate::report::{Fitness, PathReport, PathStatus, Report, Verdict};

const MARGIN: i32 = 30;
const BOX: i32 = 150;
const GAP: i32 = 180;
const ROW: i32 = 48;
/// Of the first row. The zone of the clients outside is that row, and the nodes stand below it.
const TOP: i32 = 205;
const ZONE_GAP: i32 = 46;
const ROWS: i32 = 11;
const WIDTH: i32 = 2 * MARGIN + 5 * BOX + 4 * GAP;
/// Letters of a cluster's name that are shown.
const NAME_MAX: usize = 60;
/// Paths that are named where they decide; the arrows show the others.
const DECIDING_MAX: usize = 5;

/// Legible on light and on dark pages, and without colours: each verdict has a stroke of its own and is written out.
const STYLE: &str = "
.ground { fill: #ffffff; } .zone { fill: #f8fafc; stroke: #94a3b8; } .box { fill: #e2e8f0; stroke: #334155; }
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; fill: #0f172a; }
.title { font-size: 16px; font-weight: bold; } .head { font-weight: bold; } .quiet { fill: #475569; } .name { text-anchor: middle; }
line { stroke-width: 3; } text.label { text-anchor: middle; font-weight: bold; }
line.secure { stroke: #15803d; } .head-of.secure { fill: #15803d; }
line.server-auth-only { stroke: #0f766e; stroke-dasharray: 14 3; } .head-of.server-auth-only { fill: #0f766e; }
line.contained { stroke: #1d4ed8; stroke-dasharray: 10 4 2 4; } .head-of.contained { fill: #1d4ed8; }
line.asserted { stroke: #7e22ce; stroke-dasharray: 20 6; } .head-of.asserted { fill: #7e22ce; }
line.encrypted-unverified { stroke: #c2410c; stroke-dasharray: 7 5; } .head-of.encrypted-unverified { fill: #c2410c; }
line.plaintext { stroke: #dc2626; stroke-dasharray: 2 4; } .head-of.plaintext { fill: #dc2626; }
line.unknown { stroke: #6b7280; stroke-width: 1; stroke-dasharray: 1 5; } .head-of.unknown { fill: #6b7280; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0f172a; } .zone { fill: #111c33; stroke: #475569; } .box { fill: #1e293b; stroke: #94a3b8; }
  text { fill: #e5e7eb; } .quiet { fill: #94a3b8; }
  line.secure { stroke: #4ade80; } .head-of.secure { fill: #4ade80; }
  line.server-auth-only { stroke: #2dd4bf; } .head-of.server-auth-only { fill: #2dd4bf; }
  line.contained { stroke: #60a5fa; } .head-of.contained { fill: #60a5fa; }
  line.asserted { stroke: #c084fc; } .head-of.asserted { fill: #c084fc; }
  line.encrypted-unverified { stroke: #fb923c; } .head-of.encrypted-unverified { fill: #fb923c; }
  line.plaintext { stroke: #f87171; } .head-of.plaintext { fill: #f87171; }
  line.unknown { stroke: #9ca3af; } .head-of.unknown { fill: #9ca3af; }
}";

/// Where boxes stand, from the far end of the control plane to the far end of the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    BehindComponents,
    Components,
    Hub,
    Nodes,
    BehindNodes,
}

impl Column {
    const fn left(self) -> i32 {
        let index = match self {
            Self::BehindComponents => 0,
            Self::Components => 1,
            Self::Hub => 2,
            Self::Nodes => 3,
            Self::BehindNodes => 4,
        };
        MARGIN + index * (BOX + GAP)
    }

    const fn right(self) -> i32 {
        self.left() + BOX
    }
}

/// One box: its lines of text, where it stands, and the paths without which it is not drawn.
struct Place {
    name: &'static [&'static str],
    column: Column,
    rows: (i32, i32),
    paths: &'static [Channel],
}

const fn tls(path: Path) -> Channel {
    Channel::Tls(path)
}

const KONNECTIVITY: &[Channel] = &[tls(Path::KonnKas), tls(Path::KonnAgent)];
const ETCD: &[Channel] = &[tls(Path::ApiEtcd), tls(Path::EtcdPeer), tls(Path::EtcdHealth), tls(Path::EtcdGateway)];

const fn place(name: &'static [&'static str], column: Column, rows: (i32, i32), paths: &'static [Channel]) -> Place {
    Place { name, column, rows, paths }
}

const PLACES: &[Place] = {
    use Column::{BehindComponents, BehindNodes, Components, Hub, Nodes};
    &[
        place(&["CSR", "signing service"], BehindComponents, (1, 1), &[Channel::CsrSigning]),
        place(&["another", "etcd member"], BehindComponents, (6, 6), &[tls(Path::EtcdPeer)]),
        place(&["etcd probe"], BehindComponents, (7, 7), &[tls(Path::EtcdHealth)]),
        place(&["etcd's own", "JSON gateway"], BehindComponents, (8, 8), &[tls(Path::EtcdGateway)]),
        place(&["components on the", "same machine"], Components, (0, 0), &[Channel::LocalInsecurePort]),
        place(&["kube-controller-", "manager"], Components, (1, 1), &[tls(Path::KcmApi), Channel::CsrSigning]),
        place(&["kube-scheduler"], Components, (2, 2), &[tls(Path::SchedApi)]),
        place(&["another", "kube-apiserver"], Components, (3, 3), &[tls(Path::CpInternal)]),
        place(&["aggregated", "API server"], Components, (4, 4), &[tls(Path::FrontProxy)]),
        place(&["admission", "webhook server"], Components, (5, 5), &[tls(Path::Webhook)]),
        place(&["etcd"], Components, (6, 8), ETCD),
        place(&["kube-apiserver"], Hub, (0, 8), &Channel::ALL),
        place(&["Konnectivity", "server"], Hub, (10, 10), KONNECTIVITY),
        place(&["client outside", "(kubectl)"], Nodes, (0, 0), &[tls(Path::AdminApi)]),
        place(&["kubelet"], Nodes, (1, 3), &[tls(Path::NodeApi), tls(Path::NodeBootstrap), tls(Path::ApiKubelet)]),
        place(&["pod"], Nodes, (4, 5), &[tls(Path::PodApi), Channel::PodPodAcrossNodes, Channel::PodPodOnNode]),
        place(&["node, pod", "or service"], Nodes, (6, 7), &[Channel::ApiProxyHttp, tls(Path::ApiProxyHttps)]),
        place(&["node"], Nodes, (8, 8), &[Channel::SshTunnel, Channel::NodeNode]),
        place(&["Konnectivity", "agent"], Nodes, (10, 10), &[tls(Path::KonnAgent)]),
        place(&["pod on", "another node"], BehindNodes, (4, 4), &[Channel::PodPodAcrossNodes]),
        place(&["pod on", "the same node"], BehindNodes, (5, 5), &[Channel::PodPodOnNode]),
        place(&["another node"], BehindNodes, (8, 8), &[Channel::NodeNode]),
    ]
};

/// From which column to which, and in which row.
const fn route(channel: Channel) -> Option<(Column, Column, i32)> {
    use Column::{BehindComponents, BehindNodes, Components, Hub, Nodes};
    Some(match channel {
        Channel::LocalInsecurePort => (Components, Hub, 0),
        Channel::Tls(Path::KcmApi) => (Components, Hub, 1),
        Channel::Tls(Path::SchedApi) => (Components, Hub, 2),
        Channel::Tls(Path::CpInternal) => (Hub, Components, 3),
        Channel::Tls(Path::FrontProxy) => (Hub, Components, 4),
        Channel::Tls(Path::Webhook) => (Hub, Components, 5),
        Channel::Tls(Path::ApiEtcd) => (Hub, Components, 6),
        Channel::CsrSigning => (Components, BehindComponents, 1),
        Channel::Tls(Path::EtcdPeer) => (BehindComponents, Components, 6),
        Channel::Tls(Path::EtcdHealth) => (BehindComponents, Components, 7),
        Channel::Tls(Path::EtcdGateway) => (BehindComponents, Components, 8),
        Channel::Tls(Path::AdminApi) => (Nodes, Hub, 0),
        Channel::Tls(Path::NodeApi) => (Nodes, Hub, 1),
        Channel::Tls(Path::NodeBootstrap) => (Nodes, Hub, 2),
        Channel::Tls(Path::ApiKubelet) => (Hub, Nodes, 3),
        Channel::Tls(Path::PodApi) => (Nodes, Hub, 4),
        Channel::ApiProxyHttp => (Hub, Nodes, 6),
        Channel::Tls(Path::ApiProxyHttps) => (Hub, Nodes, 7),
        Channel::SshTunnel => (Hub, Nodes, 8),
        Channel::Tls(Path::KonnAgent) => (Nodes, Hub, 10),
        // Straight down, in the row between both boxes.
        Channel::Tls(Path::KonnKas) => (Hub, Hub, 9),
        Channel::PodPodAcrossNodes => (Nodes, BehindNodes, 4),
        Channel::PodPodOnNode => (Nodes, BehindNodes, 5),
        Channel::NodeNode => (Nodes, BehindNodes, 8),
        _ => return None,
    })
}

const fn row_top(row: i32) -> i32 {
    TOP + row * ROW + if row > 0 { ZONE_GAP } else { 0 }
}

const fn row_middle(row: i32) -> i32 {
    row_top(row) + ROW / 2
}

impl Report {
    /// A map of the cluster as SVG: every path that it has, with its verdict by colour, by stroke and in words.
    #[must_use]
    pub fn picture(&self) -> String {
        let bottom = row_top(ROWS);
        let absent: Vec<_> =
            self.paths.iter().filter(|path| path.status == PathStatus::Absent).map(|path| path.channel.id()).collect();
        let height = bottom + 150;
        let name: String = self.cluster.chars().filter(|letter| !letter.is_control()).take(NAME_MAX).collect();
        let fitness = self.cluster_fitness().0;
        let title = format!("{name}: may it run over a network that others reach? {fitness}");
        let mut document = Document::new()
            .set("viewBox", (0, 0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .set("role", "img")
            .add(Title::new(title.clone()))
            .add(Style::new(STYLE))
            .add(rectangle("ground", 0, 0, WIDTH, height))
            .add(text("title", MARGIN, 34, title));
        let mut y = 60;
        for (what, answer) in self.answers(DECIDING_MAX) {
            document = document.add(text("head", MARGIN, y, what)).add(text("", MARGIN + GAP, y, answer));
            y += 18;
        }
        document = zones(document, bottom);
        for place in PLACES.iter().filter(|place| self.has_any(place.paths)) {
            document = draw_box(document, place);
        }
        for path in self.paths.iter().filter(|path| path.status != PathStatus::Absent) {
            document = draw_path(document, path);
        }
        document = legend(document, bottom + 40);
        if !absent.is_empty() {
            let line = format!("not in this cluster: {}", absent.join(", "));
            document = document.add(text("quiet", MARGIN, bottom + 132, line));
        }
        document.to_string()
    }

    fn has_any(&self, channels: &[Channel]) -> bool {
        self.paths.iter().any(|path| path.status != PathStatus::Absent && channels.contains(&path.channel))
    }
}

fn zones(document: Document, bottom: i32) -> Document {
    const PAD: i32 = 12;
    let left = Column::Nodes.left() - PAD;
    let width = Column::BehindNodes.right() - left + PAD;
    let outside = row_top(1) - ZONE_GAP - row_top(0);
    let zone = |document: Document, name: &str, (x, y): (i32, i32), (width, height): (i32, i32)| {
        document.add(rectangle("zone", x, y, width, height).set("rx", 6)).add(text(
            "head",
            x + 8,
            y + 16,
            name.to_owned(),
        ))
    };
    let head = 24;
    let control = Column::Hub.right() + PAD;
    let document = zone(document, "control plane", (PAD, TOP - head), (control - PAD, bottom - TOP + head + PAD));
    let document = zone(document, "outside", (left, TOP - head), (width, outside + head));
    let nodes = row_top(1) - head;
    zone(document, "nodes", (left, nodes), (width, bottom - nodes + PAD))
}

fn draw_box(document: Document, place: &Place) -> Document {
    let (first, last) = place.rows;
    let (top, end) = (row_top(first) + 4, row_top(last) + ROW - 4);
    let mut document = document.add(rectangle("box", place.column.left(), top, BOX, end - top).set("rx", 4));
    let lines = i32::try_from(place.name.len()).unwrap_or_default();
    let mut y = i32::midpoint(top, end) - 7 * lines + 11;
    for line in place.name {
        document = document.add(text("name", place.column.left() + BOX / 2, y, (*line).to_owned()));
        y += 14;
    }
    document
}

/// The name of the stroke.
const fn stroke(status: PathStatus) -> &'static str {
    match status {
        PathStatus::Judged(verdict) => verdict.id(),
        PathStatus::NotEvaluated | PathStatus::Absent => "unknown",
    }
}

fn draw_path(document: Document, path: &PathReport) -> Document {
    let Some((from, to, row)) = route(path.channel) else { return document };
    let class = stroke(path.status);
    let word = match path.status {
        PathStatus::Judged(verdict) => verdict.id(),
        PathStatus::NotEvaluated | PathStatus::Absent => "not evaluated",
    };
    let asserted = if path.asserted { "*" } else { "" };
    let unfit = if path.fitness == Fitness::Unfit { " !" } else { "" };
    let verdict = format!("{word}{asserted}{unfit}");
    let y = row_middle(row);
    if from == to {
        let x = from.left() + BOX / 2;
        let (start, end) = (row_top(row) - 4, row_top(row) + ROW + 4);
        return arrow(document, class, (x, start), (x, end))
            .add(text("head", x + 12, y - 3, path.channel.id().to_owned()))
            .add(text("", x + 12, y + 11, verdict));
    }
    let (start, end) = if from.left() < to.left() { (from.right(), to.left()) } else { (from.left(), to.right()) };
    let middle = i32::midpoint(start, end);
    arrow(document, class, (start, y), (end, y))
        .add(text("label", middle, y - 6, path.channel.id().to_owned()))
        .add(text("name", middle, y + 15, verdict))
}

/// A line with a head. The line ends where the head begins, so that no dash shows through its tip.
fn arrow(document: Document, class: &str, (x, y): (i32, i32), (to_x, to_y): (i32, i32)) -> Document {
    const HEAD: i32 = 10;
    let (dx, dy) = ((to_x - x).signum(), (to_y - y).signum());
    let (neck_x, neck_y) = (to_x - dx * HEAD, to_y - dy * HEAD);
    let line = Line::new().set("class", class).set("x1", x).set("y1", y).set("x2", neck_x).set("y2", neck_y);
    // Across the line, half as wide as it is long.
    let (side_x, side_y) = (dy * HEAD / 2, dx * HEAD / 2);
    let points =
        format!("{to_x},{to_y} {},{} {},{}", neck_x + side_x, neck_y + side_y, neck_x - side_x, neck_y - side_y);
    document.add(line).add(Polygon::new().set("class", format!("head-of {class}")).set("points", points))
}

fn legend(document: Document, top: i32) -> Document {
    const ENTRY: i32 = (WIDTH - 2 * MARGIN) / 3;
    const SAMPLE: i32 = 60;
    let verdicts = Verdict::ALL.map(|verdict| (verdict.id(), format!("{verdict}: {}", meaning(verdict))));
    let unknown = ("unknown", "not evaluated: too little is known".to_owned());
    let mut document = document;
    let (mut x, mut y) = (MARGIN, top);
    let mut next = |x: &mut i32| {
        *x += ENTRY;
        if *x + ENTRY > WIDTH {
            *x = MARGIN;
            y += 24;
        }
        y
    };
    let mut at = top;
    for (class, meaning) in verdicts.into_iter().chain([unknown]) {
        document = arrow(document, class, (x, at), (x + SAMPLE, at)).add(text("", x + SAMPLE + 10, at + 4, meaning));
        at = next(&mut x);
    }
    document.add(text("", x, at + 4, "*: as somebody says, !: must not run over such a network".to_owned()))
}

const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Secure => "encrypted, both ends know each other",
        Verdict::ServerAuthOnly => "encrypted, the server is known",
        Verdict::EncryptedUnverified => "encrypted, nobody knows to whom",
        Verdict::Plaintext => "everybody on the way reads it",
        Verdict::Contained => "a tunnel or a machine protects it",
        Verdict::Asserted => "protected as somebody says",
    }
}

fn rectangle(class: &str, x: i32, y: i32, width: i32, height: i32) -> Rectangle {
    Rectangle::new().set("class", class).set("x", x).set("y", y).set("width", width).set("height", height)
}

fn text(class: &str, x: i32, y: i32, content: String) -> Text {
    Text::new(content).set("class", class).set("x", x).set("y", y)
}
