//! One cluster: its certificates and its authorities.

use core::fmt;

use time::{Duration, UtcDateTime};

use crate::{Printable, calendar};

/// Who sees to it that a certificate is replaced before it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub enum Renewal {
    /// The system that issued it.
    Automatic,
    /// Nobody: issued by hand, known, and never renewed, even if a system CA signed it.
    Manual,
    /// The owner of a CA outside the cluster, such as an organization's; a rotation touches neither.
    ExternallyManaged,
}

/// What is left of a validity, as Kubernetes writes durations for people: `9y`, `364d`, `23h`, `59m`, `30s`, and
/// `<invalid>` once it is over (apimachinery, pkg/util/duration: `ShortHumanDuration`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResidualTime(Duration);

impl ResidualTime {
    /// What is left at `now` of a validity until `not_after`. Negative once it is over.
    #[must_use]
    pub fn between(now: UtcDateTime, not_after: UtcDateTime) -> Self {
        Self(not_after - now)
    }
}

impl fmt::Display for ResidualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes, seconds) =
            (self.0.whole_days(), self.0.whole_hours(), self.0.whole_minutes(), self.0.whole_seconds());
        match () {
            // Clocks differ a little: less than two seconds over counts as now.
            () if seconds < -1 => f.pad("<invalid>"),
            () if seconds < 0 => f.pad("0s"),
            () if seconds < 60 => f.pad(&format!("{seconds}s")),
            () if minutes < 60 => f.pad(&format!("{minutes}m")),
            () if hours < 24 => f.pad(&format!("{hours}h")),
            () if days < 365 => f.pad(&format!("{days}d")),
            () => f.pad(&format!("{}y", days / 365)),
        }
    }
}

/// One certificate of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct CertificateRow {
    /// What the certificate is called: a file, as kubeadm does, or a kind of leaf.
    pub name: Printable,
    /// The last second; `None` where the certificate is missing.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_rfc3339"))]
    pub not_after: Option<UtcDateTime>,
    /// What its authority is called; empty where that is not known.
    pub authority: Printable,
    /// Who renews it.
    pub renewal: Renewal,
}

/// One authority of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct AuthorityRow {
    /// What the authority is called.
    pub name: Printable,
    /// The last second; `None` where the certificate is missing.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_rfc3339"))]
    pub not_after: Option<UtcDateTime>,
    /// Whether its key is kept elsewhere, so that only its owner renews what it signs.
    pub externally_managed: bool,
}

#[cfg(feature = "serde")]
fn as_rfc3339<S: serde::Serializer>(time: &Option<UtcDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::Serialize as _;

    time.map(calendar::rfc3339).serialize(serializer)
}

impl CertificateRow {
    /// A row.
    #[must_use]
    pub fn new(name: &str, not_after: Option<UtcDateTime>, authority: &str, renewal: Renewal) -> Self {
        Self { name: name.into(), not_after, authority: authority.into(), renewal }
    }
}

impl AuthorityRow {
    /// A row.
    #[must_use]
    pub fn new(name: &str, not_after: Option<UtcDateTime>, externally_managed: bool) -> Self {
        Self { name: name.into(), not_after, externally_managed }
    }
}

/// The certificates and authorities of one cluster at one moment, in the two tables of
/// `kubeadm certs check-expiration` (Kubernetes cmd/kubeadm/app/cmd/certs.go).
///
/// kubeadm knows no certificate that is its own and not renewed; those follow in a last line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
#[non_exhaustive]
pub struct ExpiryTable {
    /// The moment.
    #[cfg_attr(feature = "serde", serde(serialize_with = "moment_as_rfc3339"))]
    pub at: UtcDateTime,
    /// The certificates.
    pub certificates: Vec<CertificateRow>,
    /// The authorities.
    pub authorities: Vec<AuthorityRow>,
}

#[cfg(feature = "serde")]
fn moment_as_rfc3339<S: serde::Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&calendar::rfc3339(*time))
}

impl ExpiryTable {
    /// An empty table.
    #[must_use]
    pub const fn new(at: UtcDateTime) -> Self {
        Self { at, certificates: Vec::new(), authorities: Vec::new() }
    }

    /// The certificates that nobody renews.
    pub fn never_renewed(&self) -> impl Iterator<Item = &CertificateRow> {
        self.certificates.iter().filter(|row| row.renewal == Renewal::Manual)
    }

    /// The cells that both tables begin with. A missing one is marked as kubeadm does, and has no time.
    fn cells(&self, name: &Printable, not_after: Option<UtcDateTime>) -> [String; 3] {
        match not_after {
            Some(time) => [name.to_string(), calendar::kubeadm(time), ResidualTime::between(self.at, time).to_string()],
            None => [format!("!MISSING! {name}"), String::new(), String::new()],
        }
    }
}

impl fmt::Display for ExpiryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let yes_no = |present: Option<_>, external: bool| match (present, external) {
            (None, _) => String::new(),
            (Some(_), true) => "yes".to_owned(),
            (Some(_), false) => "no".to_owned(),
        };
        let mut rows: Vec<Vec<String>> =
            vec![heading(&["CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED"])];
        for row in &self.certificates {
            let external = row.renewal == Renewal::ExternallyManaged;
            let authority = if row.not_after.is_some() { row.authority.to_string() } else { String::new() };
            let cells = self.cells(&row.name, row.not_after).into_iter();
            rows.push(cells.chain([authority, yes_no(row.not_after, external)]).collect());
        }
        write_aligned(f, &rows)?;
        let mut rows: Vec<Vec<String>> =
            vec![heading(&["CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME", "EXTERNALLY MANAGED"])];
        for row in &self.authorities {
            let cells = self.cells(&row.name, row.not_after).into_iter();
            rows.push(cells.chain([yes_no(row.not_after, row.externally_managed)]).collect());
        }
        writeln!(f)?;
        write_aligned(f, &rows)?;
        let never: Vec<_> = self.never_renewed().map(|row| row.name.as_str()).collect();
        if never.is_empty() { Ok(()) } else { writeln!(f, "\nissued by hand, never renewed: {}", never.join(", ")) }
    }
}

/// Columns as wide as kubeadm's: the longest cell and three spaces, at least ten. No line ends in spaces.
fn write_aligned(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(|column| (width(column) + 3).max(10)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(f, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn residual_time_is_rounded_down_to_one_unit_as_kubernetes_does() {
        const DAY: i64 = 86_400;
        for (left, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (DAY - 1, "23h"),
            (DAY, "1d"),
            (365 * DAY - 1, "364d"),
            (365 * DAY, "1y"),
            (730 * DAY - 1, "1y"),
            (10_950 * DAY, "30y"),
            (-10_950 * DAY, "<invalid>"),
        ] {
            assert_eq!(ResidualTime::between(at(0), at(left)).to_string(), expected, "{left}");
        }
        // Go cuts towards zero before it compares: 1.9 s over is -1, and still `0s`.
        let over = at(0) + Duration::milliseconds(1_900);
        assert_eq!(ResidualTime::between(over, at(0)).to_string(), "0s");
    }

    /// The shape of kubeadm's own output, a year after its installation.
    #[test]
    fn the_tables_are_those_of_kubeadm_and_say_what_nobody_renews() {
        let mut table = ExpiryTable::new(at(1_577_836_800));
        let later = at(1_609_372_560); // 2020-12-30T23:56:00Z
        table.certificates = vec![
            CertificateRow::new("admin.conf", Some(later), "ca", Renewal::Automatic),
            CertificateRow::new("apiserver", Some(at(0)), "ca", Renewal::Automatic),
            CertificateRow::new("sni", Some(later), "org-ca", Renewal::ExternallyManaged),
            CertificateRow::new("alice", Some(later), "ca", Renewal::Manual),
            CertificateRow::new("etcd-peer", None, "etcd-ca", Renewal::Automatic),
        ];
        table.authorities = vec![
            AuthorityRow::new("ca", Some(at(1_893_369_600)), false),
            AuthorityRow::new("org-ca", Some(later), true),
            AuthorityRow::new("etcd-ca", None, false),
        ];
        assert_eq!(
            table.to_string(),
            "\
CERTIFICATE           EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   EXTERNALLY MANAGED
admin.conf            Dec 30, 2020 23:56 UTC   364d            ca                      no
apiserver             Jan 01, 1970 00:00 UTC   <invalid>       ca                      no
sni                   Dec 30, 2020 23:56 UTC   364d            org-ca                  yes
alice                 Dec 30, 2020 23:56 UTC   364d            ca                      no
!MISSING! etcd-peer

CERTIFICATE AUTHORITY   EXPIRES                  RESIDUAL TIME   EXTERNALLY MANAGED
ca                      Dec 31, 2029 00:00 UTC   10y             no
org-ca                  Dec 30, 2020 23:56 UTC   364d            yes
!MISSING! etcd-ca

issued by hand, never renewed: alice
"
        );
        assert_eq!(table.never_renewed().count(), 1);
    }

    #[test]
    fn a_hostile_name_cannot_break_out_of_its_row() {
        let mut table = ExpiryTable::new(at(0));
        table.certificates.push(CertificateRow::new("a\n\u{1b}[2J", Some(at(60)), "x\ny", Renewal::Manual));
        assert_eq!(table.to_string().lines().count(), 6);
        assert!(table.to_string().contains("a\\0A\\1B[2J") && !table.to_string().contains('\u{1b}'));
    }
}
