//! A file that says that its process lives.

use std::fs::File;
use std::io;
use std::ops::Deref;

use rustix::fs::{FlockOperation, flock};

/// `flock`'s lock, for as long as this lives.
///
/// It is given back when this is dropped, and not only closed: a process that was forked meanwhile holds a copy of the
/// descriptor until it executes its program, and with it the lock.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Nothing, if somebody has it.
    pub(super) fn take(file: File) -> io::Result<Option<Self>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
            Ok(()) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Deref for Lock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If it fails, closing the file gives the lock back as well.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::Lock;

    #[test]
    fn a_lock_ends_with_its_owner_while_a_forked_process_has_a_copy_of_the_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::take(File::create(&path).unwrap()).unwrap().unwrap();
        let inherited = lock.try_clone().unwrap();
        assert!(Lock::take(File::open(&path).unwrap()).unwrap().is_none());
        drop(lock);
        assert!(Lock::take(File::open(&path).unwrap()).unwrap().is_some());
        drop(inherited);
    }
}
