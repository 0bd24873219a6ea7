//! Computes argon2 hashes in memory that is allocated once.
//!
//! A hash needs 19 MiB. Allocated anew for each hash, on changing threads, most of it stays with
//! the allocator of each thread.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{Error as HashError, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::{Mutex, MutexGuard};

/// Length of a new hash, in bytes.
const OUTPUT: usize = Params::DEFAULT_OUTPUT_LEN;

/// Maximum cost of a stored hash: 64 MiB, 16 passes and 16 lanes. Another program may have stored
/// it, and a login must not take all memory or all time.
pub(super) const MAX_COST: Argon2Cost = Argon2Cost {
    memory: 64 * 1024,
    passes: 16,
    lanes: 16,
};

/// Cost of a password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// Recommendation of OWASP for argon2id: 19 MiB, 2 passes, 1 lane.
    pub const OWASP: Self = Self {
        memory: 19 * 1024,
        passes: 2,
        lanes: 1,
    };

    /// Minimum cost, for tests only; such a hash protects nothing.
    pub const TEST: Self = Self {
        memory: Params::MIN_M_COST,
        passes: 1,
        lanes: 1,
    };
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self::OWASP
    }
}

/// Reason for which a hash cannot be computed.
#[derive(Debug)]
pub(super) enum HashFailure {
    /// The stored hash costs more than [`MAX_COST`].
    TooCostly(Argon2Cost),
    /// The stored hash has no salt or no output.
    Incomplete,
    Invalid(HashError),
}

impl<E: Into<HashError>> From<E> for HashFailure {
    fn from(error: E) -> Self {
        Self::Invalid(error.into())
    }
}

impl fmt::Display for HashFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooCostly(cost) => write!(
                f,
                "it costs m={},t={},p={}, and at most m={},t={},p={} is computed",
                cost.memory,
                cost.passes,
                cost.lanes,
                MAX_COST.memory,
                MAX_COST.passes,
                MAX_COST.lanes
            ),
            Self::Incomplete => f.write_str("it has no salt or no output"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

/// Computes hashes of one cost, and verifies stored hashes of any cost up to [`MAX_COST`].
pub(super) struct Hasher {
    params: Params,
    /// Memory of the hashes that do not run now.
    free: Mutex<Vec<Vec<Block>>>,
}

impl Hasher {
    /// Allocates the memory of `at_once` concurrent hashes.
    pub(super) fn new(cost: Argon2Cost, at_once: usize) -> Result<Self, HashFailure> {
        let params = Params::new(cost.memory, cost.passes, cost.lanes, None)?;
        check(&params)?;
        let free = (0..at_once).map(|_| allocate(params.block_count()));
        Ok(Self {
            free: Mutex::new(free.collect::<Result<_, _>>()?),
            params,
        })
    }

    /// Hashes a password with a random salt. Returns a PHC string.
    pub(super) fn hash(&self, password: &[u8]) -> Result<String, HashFailure> {
        let salt = try_generate_salt()?;
        let mut output = [0; OUTPUT];
        let argon2 = argon2(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        self.compute(&argon2, password, &salt, &mut output)?;
        self.phc(&salt, &output)
    }

    /// Returns a hash of random bytes, which matches no known password. Comparing with it costs as
    /// much as with a real hash.
    pub(super) fn dummy_hash(&self) -> Result<String, HashFailure> {
        let output = [try_generate_salt()?, try_generate_salt()?].concat();
        self.phc(&try_generate_salt()?, &output)
    }

    /// Returns whether a password matches a stored hash. The cost is that of the stored hash.
    pub(super) fn matches(&self, password: &[u8], stored: &str) -> Result<bool, HashFailure> {
        let stored = PasswordHash::new(stored).map_err(HashError::from)?;
        let params = Params::try_from(&stored)?;
        check(&params)?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
        let version = stored.version.map(Version::try_from).transpose()?;
        let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
            return Err(HashFailure::Incomplete);
        };
        let argon2 = argon2(algorithm, version.unwrap_or_default(), params);
        let mut output = [0; Output::MAX_LENGTH];
        let output = output
            .get_mut(..expected.len())
            .ok_or(HashError::OutputSize)?;
        self.compute(&argon2, password, salt, output)?;
        // Compares in constant time.
        Ok(Output::new(output).map_err(HashError::from)? == *expected)
    }

    fn compute(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), HashFailure> {
        let size = argon2.params().block_count();
        let kept = self.lock().pop();
        let mut memory = match kept {
            Some(memory) if memory.len() >= size => memory,
            // Freed first: the limit of memory holds for the larger one as well.
            kept => {
                drop(kept);
                allocate(size)?
            }
        };
        let outcome =
            argon2.hash_password_into_with_memory(password, salt, output, &mut memory[..]);
        // The memory of a hash with a higher cost is not kept.
        if memory.len() == self.params.block_count() {
            self.lock().push(memory);
        }
        Ok(outcome?)
    }

    fn phc(&self, salt: &[u8], output: &[u8]) -> Result<String, HashFailure> {
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.params)?,
            salt: Some(Salt::new(salt).map_err(HashError::from)?),
            hash: Some(Output::new(output).map_err(HashError::from)?),
        };
        Ok(hash.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.free.lock()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

fn argon2(algorithm: Algorithm, version: Version, params: Params) -> Argon2<'static> {
    Argon2::new(algorithm, version, params)
}

fn check(params: &Params) -> Result<(), HashFailure> {
    let cost = Argon2Cost {
        memory: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    };
    let is_bounded = cost.memory <= MAX_COST.memory
        && cost.passes <= MAX_COST.passes
        && cost.lanes <= MAX_COST.lanes;
    if is_bounded {
        Ok(())
    } else {
        Err(HashFailure::TooCostly(cost))
    }
}

fn allocate(blocks: usize) -> Result<Vec<Block>, HashFailure> {
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(blocks)
        .map_err(|_| HashError::OutOfMemory)?;
    memory.resize(blocks, Block::new());
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Hasher {
        Hasher::new(Argon2Cost::TEST, 2).unwrap()
    }

    /// Returns the sizes of the kept memory, in KiB.
    fn kept(hasher: &Hasher) -> Vec<usize> {
        hasher.lock().iter().map(Vec::len).collect()
    }

    #[test]
    fn the_memory_of_a_hash_is_used_again() {
        let hasher = hasher();
        let addresses = || -> Vec<_> { hasher.lock().iter().map(Vec::as_ptr).collect() };
        let before = addresses();
        let hash = hasher.hash(b"right").unwrap();
        for n in 0..100 {
            assert!(!hasher.matches(format!("{n}").as_bytes(), &hash).unwrap());
        }
        assert!(hasher.matches(b"right", &hash).unwrap());
        assert_eq!(addresses(), before);
        assert_eq!(kept(&hasher), [8, 8]);
    }

    #[test]
    fn the_memory_of_a_larger_hash_is_not_kept() {
        let hasher = hasher();
        let larger = Hasher::new(
            Argon2Cost {
                memory: 64,
                ..Argon2Cost::TEST
            },
            1,
        )
        .unwrap();
        let hash = larger.hash(b"right").unwrap();
        for _ in 0..10 {
            assert!(hasher.matches(b"right", &hash).unwrap());
            assert!(kept(&hasher).iter().all(|size| *size == 8));
        }
        // A smaller one fits into what is kept.
        assert!(
            larger
                .matches(b"right", &hasher.hash(b"right").unwrap())
                .unwrap()
        );
        assert_eq!(kept(&larger), [64]);
    }

    #[test]
    fn more_concurrent_hashes_than_planned_still_work() {
        let hasher = hasher();
        let hash = hasher.hash(b"right").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(hasher.matches(b"right", &hash).unwrap()));
            }
        });
        assert!(kept(&hasher).len() >= 2);
    }

    #[test]
    fn a_stored_hash_costs_a_bounded_amount() {
        let hasher = hasher();
        let hash = hasher.hash(b"right").unwrap();
        let (_, rest) = hash.rsplit_once("p=1").unwrap();
        for costly in [
            "m=4194304,t=2,p=1",
            "m=4294967295,t=1,p=1",
            "m=65537,t=1,p=1",
            "m=8,t=4294967295,p=1",
            "m=8,t=17,p=1",
            "m=1024,t=1,p=17",
        ] {
            let stored = format!("$argon2id$v=19${costly}{rest}");
            let error = hasher.matches(b"right", &stored).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("it costs {costly}, and at most ")),
                "{costly}: {error}"
            );
        }
        for allowed in ["m=65536,t=1,p=1", "m=8,t=16,p=1", "m=128,t=1,p=16"] {
            let stored = format!("$argon2id$v=19${allowed}{rest}");
            assert!(!hasher.matches(b"right", &stored).unwrap(), "{allowed}");
        }
        let cost = Argon2Cost {
            memory: 4 << 20,
            ..Argon2Cost::OWASP
        };
        assert!(matches!(
            Hasher::new(cost, 1),
            Err(HashFailure::TooCostly(_))
        ));
    }

    #[test]
    fn a_hash_that_is_none_is_an_error() {
        let hasher = hasher();
        let hash = hasher.hash(b"right").unwrap();
        let (without_output, _) = hash.rsplit_once('$').unwrap();
        for stored in [
            "",
            "!",
            "plaintext",
            "$argon2id$v=19$m=8,t=1,p=1",
            without_output,
            &hash.replace("argon2id", "scrypt"),
            &hash.replace("v=19", "v=99"),
            &hash.replace("m=8", "m=0"),
            &hash.replace("p=1", "p=0"),
        ] {
            assert!(hasher.matches(b"right", stored).is_err(), "{stored}");
        }
    }
}
