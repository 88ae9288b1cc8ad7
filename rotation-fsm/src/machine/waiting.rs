//! The consumers that do not run with what they should.

use std::collections::BTreeSet;

use crate::topology::Index;

/// Of one class: who is away, and who is there and lacks something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lacking {
    pub(crate) away: BTreeSet<Index>,
    pub(crate) behind: BTreeSet<Index>,
}

impl Lacking {
    pub(crate) fn is_empty(&self) -> bool {
        self.away.is_empty() && self.behind.is_empty()
    }

    fn remove(&mut self, index: Index) {
        self.away.remove(&index);
        self.behind.remove(&index);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Index> {
        self.away.iter().chain(&self.behind).copied()
    }
}

/// By class, so that asking after some does not count the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Waiting(Vec<Lacking>);

/// Why a consumer is waited for, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    Something,
    /// It is not there.
    Back,
}

impl Waiting {
    pub(crate) fn set(&mut self, class: usize, index: Index, want: Want) {
        if want == Want::Nothing && self.0.len() <= class {
            return;
        }
        if self.0.len() <= class {
            self.0.resize(class + 1, Lacking::default());
        }
        let Some(lacking) = self.0.get_mut(class) else { return };
        lacking.remove(index);
        let _inserted = match want {
            Want::Nothing => false,
            Want::Something => lacking.behind.insert(index),
            Want::Back => lacking.away.insert(index),
        };
    }

    pub(crate) fn of(&self, class: usize) -> Option<&Lacking> {
        self.0.get(class).filter(|lacking| !lacking.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Index> {
        self.0.iter().flat_map(Lacking::iter)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Lacking::is_empty)
    }
}
