//! Keys of requesters that somebody else can compute or already has.
//!
//! A signature proves that the sender holds the key, not that nobody else does. An RSA modulus can be tested for the
//! three defects that generators in the field produced; whether a key has leaked only a list can tell.

use core::fmt;
use core::num::NonZeroU32;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use crypto_bigint::{Limb, NonZero, U2048, U4096, Uint};

#[cfg(doc)]
use crate::Limits;
use crate::verify::SubjectPublicKey;
use crate::{Fingerprint, KeyAlgorithm};

/// Why nobody should trust a key, although its holder has proven to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakKey {
    /// ROCA: the modulus has the form that one maker's chips gave it, whose factors can be computed (CVE-2017-15361).
    Roca,
    /// The modulus has a factor below 752 (CA/Browser Forum Baseline Requirements 6.1.6).
    SmallFactor,
    /// Fermat's method finds the factors within [`Limits::fermat_rounds`] (Baseline Requirements 6.1.1.3 (5)).
    ClosePrimes,
    /// An Ed25519 point whose order divides the cofactor 8 (RFC 8032 5.1): anybody signs for it without a private key.
    SmallOrder,
    /// The key stands on the embedder's [`KeyBlocklist`].
    Blocked,
}

impl fmt::Display for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Roca => "its modulus was made by a generator whose factors can be computed (CVE-2017-15361)",
            Self::SmallFactor => "its modulus has a factor below 752 (Baseline Requirements 6.1.6)",
            Self::ClosePrimes => "the factors of its modulus are too close (Baseline Requirements 6.1.1.3)",
            Self::SmallOrder => "its point has small order, so that anybody can sign for it (RFC 8032 5.1)",
            Self::Blocked => "it is on the list of blocked keys",
        })
    }
}

/// Keys that nobody may use although nothing is wrong with their form: those of Debian's weak generator
/// (CVE-2008-0166), and those that leaked.
///
/// See [`ProvenRequest::refuse_blocked`](crate::ProvenRequest::refuse_blocked).
pub trait KeyBlocklist {
    /// Whether the key with this fingerprint is blocked. The fingerprint is over the `SubjectPublicKeyInfo`.
    fn is_blocked(&self, key: &Fingerprint) -> bool;
}

impl KeyBlocklist for BTreeSet<Fingerprint> {
    fn is_blocked(&self, key: &Fingerprint) -> bool {
        self.contains(key)
    }
}

/// What can be seen from the key alone.
pub(crate) fn weakness(key: &SubjectPublicKey<'_>, fermat_rounds: u16) -> Option<WeakKey> {
    if key.algorithm() == KeyAlgorithm::Ed25519 && has_small_order(key.bits()) {
        return Some(WeakKey::SmallOrder);
    }
    let modulus = key.rsa_modulus()?;
    let remainders = Remainders::of(&words(modulus));
    if remainders.have_small_factor() {
        Some(WeakKey::SmallFactor)
    } else if remainders.are_powers_of_the_generator() {
        Some(WeakKey::Roca)
    } else if has_close_primes(modulus, fermat_rounds) {
        Some(WeakKey::ClosePrimes)
    } else {
        None
    }
}

/// The y coordinates of the eight points of small order, and the two encodings of them that are not reduced modulo
/// 2^255 - 19, little-endian (RFC 8032 5.1.2). The highest bit of an encoding is the sign of x.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

fn has_small_order(point: &[u8]) -> bool {
    let Some((sign_and_high, rest)) = point.split_last() else { return false };
    SMALL_ORDER.iter().any(|[y @ .., high]| y == rest && *high == sign_and_high & 0x7f)
}

/// The words of a number, the least significant first.
fn words(big_endian: &[u8]) -> Vec<u64> {
    let word = |octets: &[u8]| octets.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
    big_endian.rchunks(8).map(word).collect()
}

// ---- division by small primes

/// The least number that may divide a modulus: Baseline Requirements 6.1.6 forbids factors below it.
const FACTOR_MIN: u64 = 752;

/// An odd number, and its inverse modulo 2^64.
#[derive(Clone, Copy)]
struct Odd {
    value: u64,
    inverse: u64,
}

impl Odd {
    fn new(value: u64) -> Self {
        // Newton's iteration: an odd number is its own inverse modulo 8, and each round doubles the number of bits.
        let inverse = (0..5).fold(value, |x: u64, _| x.wrapping_mul(2_u64.wrapping_sub(value.wrapping_mul(x))));
        Self { value, inverse }
    }

    /// Without a division: multiples, and they alone, are mapped to their quotients.
    const fn divides(self, word: u64) -> bool {
        word.wrapping_mul(self.inverse) <= u64::MAX / self.value
    }
}

/// Odd primes whose product fits one word, so that one pass over a modulus divides it by all of them.
struct Divisor {
    product: Odd,
    primes: Vec<Odd>,
}

static DIVISORS: LazyLock<Vec<Divisor>> = LazyLock::new(|| {
    let mut primes = vec![];
    for candidate in (3..FACTOR_MIN).step_by(2) {
        if primes.iter().all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
    }
    let mut divisors: Vec<Divisor> = vec![];
    for prime in primes {
        let product = |last: &Divisor| last.product.value.checked_mul(prime);
        match divisors.last_mut().and_then(|last| product(last).map(|product| (last, product))) {
            Some((last, product)) => {
                last.product = Odd::new(product);
                last.primes.push(Odd::new(prime));
            }
            None => divisors.push(Divisor { product: Odd::new(prime), primes: vec![Odd::new(prime)] }),
        }
    }
    divisors
});

/// What a modulus leaves on division by each of [`DIVISORS`], up to a sign and a power of 2.
struct Remainders {
    modulus_len: usize,
    /// For each divisor `d`, `c` in `0..=d` such that `c * 2^(64 * modulus_len)` is `-modulus` modulo `d`.
    scaled: Vec<u64>,
}

impl Remainders {
    /// Divides from the low end, as Montgomery's reduction does: it takes two multiplications a word and no division.
    fn of(modulus: &[u64]) -> Self {
        let divisors = &*DIVISORS;
        let mut scaled = vec![0; divisors.len()];
        for word in modulus {
            for (carry, divisor) in scaled.iter_mut().zip(divisors) {
                let (difference, borrow) = word.overflowing_sub(*carry);
                let quotient = difference.wrapping_mul(divisor.product.inverse);
                *carry = high_word(quotient, divisor.product.value) + u64::from(borrow);
            }
        }
        Self { modulus_len: modulus.len(), scaled }
    }

    fn have_small_factor(&self) -> bool {
        let mut each = self.scaled.iter().zip(&*DIVISORS);
        each.any(|(scaled, divisor)| divisor.primes.iter().any(|prime| prime.divides(*scaled)))
    }

    /// Whether the modulus is a power of 65537 modulo every prime up to 167, with one exponent for all. So are the
    /// moduli of ROCA, and of others one in 2^150 (Nemec et al., The Return of Coppersmith's Attack, 2.3).
    fn are_powers_of_the_generator(&self) -> bool {
        let mut logarithms: Vec<(u64, u64)> = vec![];
        ROCA_PRIMES.iter().all(|roca| {
            let Some(logarithm) = self.scaled.get(roca.divisor).and_then(|scaled| roca.log(*scaled, self.modulus_len))
            else {
                return false;
            };
            let order = roca.order();
            let agree = |(other, other_order): &(u64, u64)| {
                logarithm.abs_diff(*other) % greatest_common_divisor(order, *other_order) == 0
            };
            let all_agree = logarithms.iter().all(agree);
            logarithms.push((logarithm, order));
            all_agree
        })
    }
}

/// One of the primes by which the generator of ROCA built its factors.
struct RocaPrime {
    prime: u64,
    /// Which of [`DIVISORS`] it divides.
    divisor: usize,
    /// The powers of 65537 modulo the prime, from the zeroth until they repeat, and the exponent of each.
    powers: Vec<(u64, u64)>,
}

/// The primes that fewest random numbers pass come first.
static ROCA_PRIMES: LazyLock<Vec<RocaPrime>> = LazyLock::new(|| {
    let mut primes: Vec<_> = (0..)
        .zip(&*DIVISORS)
        .flat_map(|(index, divisor)| divisor.primes.iter().map(move |prime| (index, prime.value)))
        .filter(|(_, prime)| *prime <= ROCA_PRIME_MAX)
        .map(|(divisor, prime)| RocaPrime::new(divisor, prime))
        .collect();
    primes.sort_by_key(|roca| roca.order() * 1000 / roca.prime);
    primes
});

/// The greatest prime by which the generator built the factors of its shortest keys; those of longer keys have more.
const ROCA_PRIME_MAX: u64 = 167;

impl RocaPrime {
    fn new(divisor: usize, prime: u64) -> Self {
        const GENERATOR: u64 = 65537;
        let mut powers = vec![(0, 1)];
        let mut power = GENERATOR % prime;
        for exponent in 1..prime {
            if power == 1 {
                break;
            }
            powers.push((exponent, power));
            power = power * GENERATOR % prime;
        }
        Self { prime, divisor, powers }
    }

    fn order(&self) -> u64 {
        self.powers.iter().fold(0, |count, _| count + 1)
    }

    /// The exponent for which 65537 gives the modulus, modulo this prime.
    fn log(&self, scaled: u64, modulus_len: usize) -> Option<u64> {
        let prime = self.prime;
        let word = (1 << 32) % prime * ((1 << 32) % prime) % prime;
        let scale = (0..modulus_len).fold(1, |scale, _| scale * word % prime);
        let remainder = (prime - scaled % prime) * scale % prime;
        self.powers.iter().find(|(_, power)| *power == remainder).map(|(exponent, _)| *exponent)
    }
}

/// The high word of a product.
fn high_word(a: u64, b: u64) -> u64 {
    u64::try_from((u128::from(a) * u128::from(b)) >> 64).unwrap_or(u64::MAX)
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

// ---- Fermat's method

/// Whether `a^2 - modulus` is a square for one of the first `rounds` whole numbers `a` from its root on.
fn has_close_primes(modulus: &[u8], rounds: u16) -> bool {
    if rounds == 0 {
        false
    } else if modulus.len() <= U2048::BYTES {
        fermat::<{ U2048::LIMBS }>(modulus, rounds)
    } else {
        fermat::<{ U4096::LIMBS }>(modulus, rounds)
    }
}

fn fermat<const LIMBS: usize>(modulus: &[u8], rounds: u16) -> bool {
    let [coarse, fine] = &*FILTERS;
    let modulus = uint::<LIMBS>(modulus);
    let floor = modulus.floor_sqrt_vartime();
    let remainder = modulus.wrapping_sub(&floor.wrapping_square());
    let first = floor.wrapping_add(&Uint::ONE);
    // For every a, a^2 itself may just not fit, and its difference to the modulus does.
    let first_difference = floor.wrapping_add(&first).wrapping_sub(&remainder);
    let (a, difference) = (coarse.residue(&first), coarse.residue(&first_difference));
    // The modulus may be a square itself: then the root is the first number, and not the one after it.
    remainder == Uint::ZERO
        || (0..u64::from(rounds))
            // (a + i)^2 - n = (a^2 - n) + 2ai + i^2, modulo one word: most rounds end here.
            .filter(|i| coarse.may_be_square(difference + 2 * a * i + i * i))
            .map(|i| first.wrapping_add(&Uint::from_u64(i)).wrapping_square().wrapping_sub(&modulus))
            .any(|square| fine.may_be_square(fine.residue(&square)) && square.checked_sqrt_vartime().is_some())
}

/// Tells most numbers that are no squares by what they leave modulo some small ones.
struct Filter {
    /// Of the moduli, which have no factor in common.
    product: NonZeroU32,
    /// Each modulus with the set of the squares modulo it, one bit each.
    squares: Vec<(u64, u64)>,
}

static FILTERS: LazyLock<[Filter; 2]> =
    LazyLock::new(|| [Filter::new(&[64, 9, 5, 7, 11, 13, 17, 19]), Filter::new(&[23, 29, 31, 37, 41, 43])]);

impl Filter {
    /// Of moduli up to 64, whose product has at most 32 bits.
    fn new(moduli: &[u32]) -> Self {
        let product = moduli.iter().fold(NonZeroU32::MIN, |product, modulus| {
            product.saturating_mul(NonZeroU32::MIN.saturating_add(modulus.saturating_sub(1)))
        });
        let squares = |modulus: u64| (0..modulus).fold(0, |squares, root| squares | 1 << (root * root % modulus));
        Self { product, squares: moduli.iter().map(|modulus| u64::from(*modulus)).map(|m| (m, squares(m))).collect() }
    }

    fn residue<const LIMBS: usize>(&self, number: &Uint<LIMBS>) -> u64 {
        number.rem_limb(NonZero::<Limb>::from_u32(self.product)).into()
    }

    fn may_be_square(&self, residue: u64) -> bool {
        self.squares.iter().all(|(modulus, squares)| squares >> (residue % modulus) & 1 == 1)
    }
}

/// A number of at most this many limbs.
fn uint<const LIMBS: usize>(big_endian: &[u8]) -> Uint<LIMBS> {
    let mut limbs = [Limb::ZERO; LIMBS];
    for (limb, octets) in limbs.iter_mut().zip(big_endian.rchunks(Limb::BYTES)) {
        *limb = octets.iter().fold(Limb::ZERO, |limb, octet| (limb << 8) | Limb::from_u8(*octet));
    }
    Uint::new(limbs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    /// Moduli of `openssl genrsa`, one behind the other.
    const SOUND: &[u8] = include_bytes!("../tests/data/requests/sound-moduli.bin");

    fn sound() -> Vec<&'static [u8]> {
        let (of_2048, rest) = SOUND.split_at(100 * 256);
        let (of_3072, of_4096) = rest.split_at(60 * 384);
        of_2048.chunks(256).chain(of_3072.chunks(384)).chain(of_4096.chunks(512)).collect()
    }

    #[test]
    fn sound_keys_pass() {
        let moduli = sound();
        assert_eq!(moduli.len(), 200);
        for modulus in moduli {
            let remainders = Remainders::of(&words(modulus));
            assert!(!remainders.have_small_factor() && !remainders.are_powers_of_the_generator());
            assert!(!has_close_primes(modulus, Limits::DEFAULT.fermat_rounds));
        }
    }

    #[test]
    fn every_prime_below_the_bound_is_found_and_nothing_else() {
        let primes: Vec<_> = DIVISORS.iter().flat_map(|divisor| &divisor.primes).map(|prime| prime.value).collect();
        assert_eq!((primes.len(), primes.first(), primes.last()), (132, Some(&3), Some(&751)));
        // A power of 2 has no odd factor, and neither has it with two numbers around it that the primes do not divide.
        for cofactor in [1_u64, 757, 757 * 761] {
            assert!(!Remainders::of(&[0, 0, cofactor]).have_small_factor());
            for prime in &primes {
                assert!(Remainders::of(&[0, 0, cofactor * prime]).have_small_factor(), "{prime}");
                assert!(Remainders::of(&[cofactor * prime, 0, 0]).have_small_factor(), "{prime}");
            }
        }
    }

    #[test]
    fn what_is_a_power_of_the_generator_for_each_prime_alone_is_not_one_for_all() {
        // 65537 to different exponents modulo 11 and 13, both of which depend on whether the exponent is even.
        let power = |exponent: u32| words(&65537_u128.pow(exponent).to_be_bytes());
        for exponent in 0..8 {
            assert!(Remainders::of(&power(exponent)).are_powers_of_the_generator(), "{exponent}");
        }
        let masked = (1_u64..).map(|k| k * 2).find(|number| {
            let scaled = Remainders::of(&[*number]);
            ROCA_PRIMES.iter().take(8).all(|roca| roca.log(scaled.scaled[roca.divisor], 1).is_some())
        });
        assert!(!Remainders::of(&[masked.unwrap()]).are_powers_of_the_generator());
    }

    #[test]
    fn a_filter_lets_every_square_pass_and_few_others() {
        for (filter, passing_max) in FILTERS.iter().zip([3_500, 20_000]) {
            assert!((0..10_000).all(|root: u64| filter.may_be_square(root * root)));
            let passed = (0..1_000_000).filter(|number| filter.may_be_square(*number)).count();
            assert!(passed < passing_max, "{passed}");
        }
    }

    #[test]
    fn the_number_of_rounds_is_exact() {
        // 103 * 139 = 121^2 - 18^2, and the root of the product is between 119 and 120; 13^2 is found at once.
        let modulus = (103_u16 * 139).to_be_bytes();
        assert_eq!([0, 1, 2].map(|rounds| has_close_primes(&modulus, rounds)), [false, false, true]);
        assert_eq!([0, 1].map(|rounds| has_close_primes(&[169], rounds)), [false, true]);
    }
}
