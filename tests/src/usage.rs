//! What a process has used, from `/proc`, and what the disk can do.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// User and system time of a process, all its threads, since it began. In steps of a clock tick, 10 ms.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Duration::from_secs(ticks) / ticks_per_second())
}

/// Resident memory of a process in bytes: now, and at its highest.
pub fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name| kilobytes(&status, name).map(|kb| kb * 1024).ok_or(io::ErrorKind::InvalidData);
    Ok((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

/// How long `fdatasync` takes after a write of 4 KiB in this directory: half of the calls, and 99 in 100.
pub fn fdatasync(dir: &Path, calls: usize) -> io::Result<(Duration, Duration)> {
    let path = dir.join("fdatasync-probe");
    let mut file = File::create(&path)?;
    let mut times = (0..calls).map(|_| timed_sync(&mut file)).collect::<io::Result<Vec<_>>>()?;
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok((times[calls / 2], times[calls * 99 / 100]))
}

fn timed_sync(file: &mut File) -> io::Result<Duration> {
    file.write_all(&[0x5a; 4096])?;
    let started = Instant::now();
    file.sync_data()?;
    Ok(started.elapsed())
}

/// Fields 14 and 15; the second one, the name, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].trim().trim_end_matches(" kB").parse().ok()
}

fn ticks_per_second() -> u32 {
    let answer = Command::new("getconf").arg("CLK_TCK").output().ok();
    let ticks = answer.and_then(|answer| String::from_utf8(answer.stdout).ok()?.trim().parse().ok());
    ticks.unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_a_name_with_blanks_and_brackets() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 70 30 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(100));
    }

    #[test]
    fn own_usage_can_be_read() {
        let pid = std::process::id();
        let (now, highest) = memory(pid).unwrap();
        assert!(now > 0 && highest >= now);
        assert!(cpu(pid).is_ok());
    }
}
