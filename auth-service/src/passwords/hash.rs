//! One Argon2id run, as a PHC string.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        Error,
        phc::{Output, ParamsString, PasswordHash, Salt},
        try_generate_salt,
    },
};

use super::memory::{Memory, enlarge};

/// Hashes a password with a salt of its own.
pub(super) fn make(
    parameters: &Params,
    password: &[u8],
    memory: &mut Memory,
) -> Result<String, Error> {
    let salt = Salt::new(&try_generate_salt()?)?;
    let output = compute(parameters, password, &salt, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(parameters)?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Whether a password belongs to a hash, with the parameters of that hash.
pub(super) fn matches(hash: &str, password: &[u8], memory: &mut Memory) -> Result<bool, Error> {
    let hash = PasswordHash::new(hash)?;
    let supported = hash.algorithm == Algorithm::Argon2id.ident()
        && hash.version == Some(Version::V0x13.into());
    let (Some(salt), Some(expected), true) = (hash.salt, hash.hash, supported) else {
        return Err(Error::Algorithm);
    };
    // `Output` compares in constant time.
    Ok(compute(&Params::try_from(&hash)?, password, &salt, memory)? == expected)
}

fn compute(
    parameters: &Params,
    password: &[u8],
    salt: &Salt,
    memory: &mut Memory,
) -> Result<Output, Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.clone());
    enlarge(memory, parameters.block_count()).map_err(|_| Error::OutOfMemory)?;
    let mut bytes = [0; Output::MAX_LENGTH];
    let length = parameters
        .output_len()
        .unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = bytes.get_mut(..length).ok_or(Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password, salt, output, &mut memory[..])?;
    Ok(Output::new(output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_reference_program_are_understood() {
        // test.c of the reference program: "password", "somesalt", 2 passes, 256 KiB, 1 lane.
        let reference =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        // The second and third run work in what the one before left.
        let mut memory = Memory::new();
        assert_eq!(matches(reference, b"password", &mut memory), Ok(true));
        assert_eq!(matches(reference, b"Password", &mut memory), Ok(false));
        assert_eq!(matches(reference, b"password", &mut memory), Ok(true));
    }

    #[test]
    fn a_hash_of_another_kind_is_an_error_and_no_wrong_password() {
        let salt_and_hash = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for kind in [
            "argon2i$v=19$m=256,t=2,p=1",
            "argon2id$v=16$m=256,t=2,p=1",
            "scrypt$ln=1,r=1,p=1",
        ] {
            let hash = format!("${kind}${salt_and_hash}");
            assert!(
                matches(&hash, b"password", &mut Memory::new()).is_err(),
                "{hash}"
            );
        }
    }
}
