//! Numbers and octet strings of messages and log entries: big-endian, every length before what it counts.

/// What is being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// With its length before it. What no length can say is cut, and the reader refuses what is cut: callers bound it.
    pub(crate) fn counted(&mut self, octets: &[u8]) {
        self.u32(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        self.octets(octets);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.counted(text.as_bytes());
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }

    pub(crate) fn texts(&mut self, texts: &[String]) {
        self.u16(u16::try_from(texts.len()).unwrap_or(u16::MAX));
        texts.iter().for_each(|text| self.text(text));
    }
}

/// What is being read. Every method says `None` for what is not there whole or has no such meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// At most `max` octets, which are looked for before anything is allocated.
    pub(crate) fn counted(&mut self, max: usize) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u32()?).ok().filter(|count| *count <= max)?;
        self.take(count)
    }

    pub(crate) fn text(&mut self, max: usize) -> Option<&'a str> {
        core::str::from_utf8(self.counted(max)?).ok()
    }

    pub(crate) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    pub(crate) fn texts(&mut self, count_max: u16, max: usize) -> Option<Vec<String>> {
        let count = self.u16().filter(|count| *count <= count_max)?;
        (0..count).map(|_| self.text(max).map(str::to_owned)).collect()
    }

    /// That nothing is left.
    pub(crate) fn finish(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
