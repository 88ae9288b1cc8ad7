//! One place for every size that an input can make grow.

/// Bounds on what is read from others. Generous by default, each one settable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a certification request, DER. Checked before anything is parsed.
    pub request_len_max: usize,
    /// Octets of a certificate, DER.
    pub certificate_len_max: usize,
    /// Octets of an encoded subject.
    pub subject_len_max: usize,
    /// Names in one subject alternative name extension.
    pub subject_alt_names_max: usize,
    /// Octets of a PEM file.
    pub pem_len_max: usize,
    /// Blocks in a PEM file.
    pub pem_blocks_max: usize,
    /// Certificates in a trust bundle, repetitions included.
    pub anchors_max: usize,
    /// Certificates that a peer may send beside its own. Path building tries them in every order.
    pub intermediates_max: usize,
    /// CA certificates between a leaf and its anchor, not counting self-issued ones, as a path length constraint
    /// counts (RFC 5280 4.2.1.9). More than six are never tried: webpki builds no longer path.
    pub path_len_max: usize,
    /// Octets of a certificate revocation list, DER.
    pub crl_len_max: usize,
    /// Entries of a certificate revocation list.
    pub crl_entries_max: usize,
    /// Octets of a service-account token.
    pub token_len_max: usize,
    /// Rounds of Fermat's method against the RSA modulus of a requester; 0 leaves it out. It takes about a fifth
    /// of the time that an RSA signature takes to verify, most of it for the square root before the first round.
    pub fermat_rounds: u16,
}

impl Limits {
    /// 64 KiB for requests and certificates, 1 KiB for a subject, 100 alternative names, 1 MiB
    /// (what the Kubernetes API takes as a ClusterTrustBundle) and 256 blocks for a PEM file, as many for a bundle,
    /// 64 certificates beside a leaf and a path through six of them, 512 KiB (less than 1 MiB as PEM) and 10 000
    /// entries for a revocation list, 16 KiB for a token: several times what components of real clusters use.
    /// 100 rounds of Fermat's method, as CA/Browser Forum Baseline Requirements 6.1.1.3 (5) ask.
    pub const DEFAULT: Self = Self {
        request_len_max: 64 << 10,
        certificate_len_max: 64 << 10,
        subject_len_max: 1 << 10,
        subject_alt_names_max: 100,
        pem_len_max: 1 << 20,
        pem_blocks_max: 256,
        anchors_max: 256,
        intermediates_max: 64,
        path_len_max: 6,
        crl_len_max: 512 << 10,
        crl_entries_max: 10_000,
        token_len_max: 16 << 10,
        fermat_rounds: 100,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
