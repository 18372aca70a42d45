//! Memory of a process by the kernel's own account, which knows the peak without sampling.

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: u64,
    /// The largest since the process began.
    pub(super) peak: u64,
}

impl Memory {
    /// Of a process that runs; zeros when the system does not tell.
    pub(super) fn of(pid: u32) -> Self {
        let path = format!("/proc/{pid}/status");
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kibibytes * 1_024)
        };
        Self {
            resident: field("VmRSS:").unwrap_or_default(),
            peak: field("VmHWM:").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_figures_are_read_in_bytes() {
        let found = Memory::parse("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n");
        let (resident, peak) = (1 << 20, 2 << 20);
        assert_eq!(found, Memory { resident, peak });
        assert_eq!(Memory::parse(""), Memory::default());
    }

    #[test]
    fn a_running_process_has_some() {
        assert!(Memory::of(std::process::id()).peak > 0);
    }
}
