//! A journal that lives as long as its process.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Durable, Journal, Revision, Store, StoreError};

/// A store in memory, shared by its clones: for tests, rehearsals and clusters that live as long as the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Option<Journal>>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn at<T>(&self, expected: Revision, change: impl FnOnce(&mut Journal) -> T) -> Result<T, StoreError> {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = journal.as_mut().ok_or(StoreError::Lost)?;
        let found = journal.revision();
        if found == expected { Ok(change(journal)) } else { Err(StoreError::Conflict { expected, found }) }
    }
}

impl Store for MemoryStore {
    fn create(&mut self, snapshot: &[u8]) -> Result<Durable, StoreError> {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = journal.as_ref() {
            return Err(StoreError::Conflict { expected: Revision::default(), found: journal.revision() });
        }
        *journal = Some(Journal::new(snapshot.to_vec(), Revision::default(), Vec::new()));
        Ok(Durable::attest(Revision::default()))
    }

    fn load(&mut self) -> Result<Option<Journal>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn append(&mut self, expected: Revision, record: &[u8]) -> Result<Durable, StoreError> {
        self.at(expected, |journal| journal.records.push(record.to_vec()))?;
        Ok(Durable::attest(expected.next()))
    }

    fn snapshot(&mut self, revision: Revision, snapshot: &[u8]) -> Result<Durable, StoreError> {
        self.at(revision, |journal| *journal = Journal::new(snapshot.to_vec(), revision, Vec::new()))?;
        Ok(Durable::attest(revision))
    }
}
