//! The memory of Argon2id runs: reused by the next run while one waits, freed otherwise.

use std::{
    collections::TryReserveError,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use argon2::Block;

/// The GNU allocator keeps what was freed for later use if it is smaller than 32 MiB, and of
/// Argon2's blocks it reuses little: 60 logins left 600 MB resident. What is larger it maps by
/// itself and returns at once. The difference is address space that is never touched.
const MAPPED_BYTES: usize = 33 * 1024 * 1024;

/// What one run works in.
pub(super) type Memory = Vec<Block>;

/// Memory that no run uses at the moment. To map and clear 19 MiB anew for each run took a third of
/// the system time of a storm of logins. `Debug` shows nothing of it: it was made from passwords.
#[derive(Clone, Default)]
pub(super) struct Memories(Arc<Mutex<Vec<Memory>>>);

impl Memories {
    /// What an earlier run left, or memory that grows when it is used.
    pub(super) fn take(&self) -> Memory {
        self.spare().pop().unwrap_or_default()
    }

    /// Keeps memory for another run.
    pub(super) fn keep(&self, memory: Memory) {
        self.spare().push(memory);
    }

    /// Gives all that is spare back to the system.
    pub(super) fn release(&self) {
        self.spare().clear();
    }

    /// How many runs' memory is spare.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.spare().len()
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memories {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Memories")
    }
}

/// Makes memory large enough for a run; what is in it does not matter to Argon2.
///
/// # Errors
///
/// The system has less memory than that.
pub(super) fn enlarge(memory: &mut Memory, blocks: usize) -> Result<(), TryReserveError> {
    let wanted = blocks.max(MAPPED_BYTES / Block::SIZE);
    memory.try_reserve_exact(wanted.saturating_sub(memory.len()))?;
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    Ok(())
}
