//! A queue into a thread: many put in, and all that is there is taken out at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A mailbox. Clones share it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    /// How many wait for items: to wake nobody is a system call, too.
    waiting: usize,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), closed: false, waiting: 0 });
        Self { shared: Arc::new(Shared { state, filled: Condvar::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it holds the lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts items in, and wakes whoever waits.
    pub(crate) fn put(&self, items: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        state.items.extend(items);
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.shared.filled.notify_one();
        }
    }

    /// No more will be put in; what is there is still taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.shared.filled.notify_all();
    }

    /// All that is there, at once; `None` when it is closed and empty.
    pub(crate) fn take_all_now(&self) -> Option<VecDeque<T>> {
        let mut state = self.lock();
        if state.items.is_empty() && state.closed {
            return None;
        }
        Some(std::mem::take(&mut state.items))
    }

    /// All that is there, once there is something, or nothing after `timeout`; `None` when it is
    /// closed and empty.
    pub(crate) fn take_all(&self, timeout: Option<Duration>) -> Option<VecDeque<T>> {
        let mut state = self.wait(self.lock(), timeout)?;
        Some(std::mem::take(&mut state.items))
    }

    /// The next item; `None` when it is closed and empty.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.wait(self.lock(), None)?;
        let item = state.items.pop_front();
        if !state.items.is_empty() && state.waiting > 0 {
            self.shared.filled.notify_one();
        }
        item
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State<T>>,
        timeout: Option<Duration>,
    ) -> Option<MutexGuard<'a, State<T>>> {
        let empty = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let filled = &self.shared.filled;
        state.waiting += 1;
        let mut state = match timeout {
            None => filled.wait_while(state, empty).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = filled.wait_timeout_while(state, timeout, empty);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.waiting -= 1;
        if state.items.is_empty() && state.closed { None } else { Some(state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_order_and_then_the_close() {
        let mailbox = Mailbox::new();
        mailbox.put([1, 2]);
        let other = mailbox.clone();
        let thread = std::thread::spawn(move || {
            other.put([3]);
            other.close();
        });
        thread.join().unwrap();
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take_all(None), Some([2, 3].into()));
        assert_eq!(mailbox.take_all(None), None);
    }

    #[test]
    fn an_empty_mailbox_gives_nothing_after_the_timeout() {
        let mailbox = Mailbox::<u8>::new();
        assert_eq!(mailbox.take_all(Some(Duration::from_millis(1))), Some(VecDeque::new()));
    }
}
