//! Which of the 16384 hash slots of a cluster a key is in ("Redis cluster specification", key
//! distribution model): the CRC16 of what stands between its first braces, or else of all of it.

/// How many there are.
pub(super) const COUNT: u16 = 16_384;
/// CRC-16/XMODEM, by bytes.
const TABLE: [u16; 256] = table();

/// The slot of a key.
pub(super) fn of(key: &[u8]) -> u16 {
    let crc = hashed(key).iter().fold(0_u16, |crc, byte| {
        let place = (crc >> 8) ^ u16::from(*byte);
        (crc << 8) ^ TABLE[usize::from(place)]
    });
    crc % COUNT
}

/// The part of a key that decides.
fn hashed(key: &[u8]) -> &[u8] {
    let between = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|part| !part.is_empty())
    };
    between().unwrap_or(key)
}

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own examples, and what `CLUSTER KEYSLOT` of Redis 7 answers.
    #[test]
    fn a_key_is_in_the_slot_that_redis_puts_it_in() {
        for (key, slot) in [
            ("123456789", 0x31C3),
            ("foo", 12_182),
            ("{user1000}.following", of(b"user1000")),
            ("foo{}{bar}", of(b"foo{}{bar}")),
            ("foo{{bar}}zap", of(b"{bar")),
            ("foo{bar}{zap}", of(b"bar")),
            ("", 0),
        ] {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
        assert_ne!(of(b"foo{}{bar}"), of(b"bar"));
    }
}
