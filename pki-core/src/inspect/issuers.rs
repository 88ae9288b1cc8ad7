//! Who issued what, among many certificates.

use std::collections::BTreeMap;

use super::CertificateView;

/// CAs by name and key, so that the issuer of a certificate is found without looking at each of them.
///
/// Of CAs with one name and one key identifier the first stands for all: copies, and versions of one authority that
/// kept its key. So the index grows with the authorities, and not with the files in which they lie.
#[derive(Clone, Debug, Default)]
pub struct IssuerIndex<'a> {
    by_subject: BTreeMap<&'a [u8], SameName<'a>>,
}

/// CAs of one name, each with its place among all that were given.
#[derive(Clone, Debug, Default)]
struct SameName<'a> {
    by_key: BTreeMap<&'a str, (usize, &'a CertificateView)>,
    /// The first of those above.
    first_with_key: Option<(usize, &'a CertificateView)>,
    /// The first one that does not say which key it has.
    without_key: Option<(usize, &'a CertificateView)>,
}

impl<'a> IssuerIndex<'a> {
    /// The CAs among certificates; the others are passed over.
    pub fn of(certificates: impl IntoIterator<Item = &'a CertificateView>) -> Self {
        let mut by_subject: BTreeMap<&[u8], SameName<'_>> = BTreeMap::new();
        for (place, authority) in certificates.into_iter().filter(|view| view.is_ca()).enumerate() {
            let same_name = by_subject.entry(authority.encoded_subject()).or_default();
            if let Some(key) = &authority.extensions.subject_key_id {
                same_name.by_key.entry(key).or_insert((place, authority));
                same_name.first_with_key.get_or_insert((place, authority));
            } else {
                same_name.without_key.get_or_insert((place, authority));
            }
        }
        Self { by_subject }
    }

    /// The first CA that this certificate [names as its issuer](CertificateView::names_as_issuer).
    #[must_use]
    pub fn issuer_of(&self, certificate: &CertificateView) -> Option<&'a CertificateView> {
        let same_name = self.by_subject.get(certificate.encoded_issuer())?;
        let with_key = match &certificate.extensions.authority_key_id {
            Some(key) => same_name.by_key.get(key.as_str()).copied(),
            None => same_name.first_with_key,
        };
        let found = with_key.into_iter().chain(same_name.without_key).min_by_key(|(place, _)| *place);
        found.map(|(_, authority)| authority)
    }

    /// How many authorities there are to choose from.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_subject.values().map(|same| same.by_key.len() + usize::from(same.without_key.is_some())).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }
}
