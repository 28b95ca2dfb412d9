//! The lock round a breaker, as a parameter, so that a checker of interleavings can bring one that
//! it controls.

/// A kind of mutex.
///
/// Programs have no need of it: [`ParkingLot`] is the default everywhere. It is there for tests
/// under schedulers like shuttle or loom, which must see every lock to explore what threads can
/// do to each other.
pub trait Locking: 'static {
    /// The mutex that guards a `T`.
    type Mutex<T: Send>: Send + Sync;

    /// A mutex round `value`, unlocked.
    fn new<T: Send>(value: T) -> Self::Mutex<T>;

    /// Runs `f` on what `mutex` guards, alone.
    fn with<T: Send, O>(mutex: &Self::Mutex<T>, f: impl FnOnce(&mut T) -> O) -> O;
}

/// The lock of production: parking_lot's.
#[derive(Clone, Copy, Debug)]
pub enum ParkingLot {}

impl Locking for ParkingLot {
    type Mutex<T: Send> = parking_lot::Mutex<T>;

    fn new<T: Send>(value: T) -> Self::Mutex<T> {
        parking_lot::Mutex::new(value)
    }

    fn with<T: Send, O>(mutex: &Self::Mutex<T>, f: impl FnOnce(&mut T) -> O) -> O {
        f(&mut mutex.lock())
    }
}
