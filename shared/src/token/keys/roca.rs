//! Keys made by the library of CVE-2017-15361 ("ROCA"): their factors can be found from the modulus,
//! so whoever reads the key set could sign.

/// Primes modulo which the powers of 65537 are few, so that a modulus which is one of them each time
/// is no accident (once in some hundred million keys).
const PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether a modulus, big-endian, has the fingerprint: primes of the form `k·M + (65537^a mod M)`
/// with `M` a product of small primes, of which the modulus keeps that it is a power of 65537.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
        powers.take(*prime as usize).any(|power| power == rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_powers_of_65537_is_weak_and_its_neighbour_is_not() {
        let power = (65_537_u64 * 65_537).to_be_bytes();
        assert!(is_weak(&power));
        let neighbour = (65_537_u64 * 65_537 + 1).to_be_bytes();
        assert!(!is_weak(&neighbour));
        assert!(!is_weak(&[]));
    }
}
