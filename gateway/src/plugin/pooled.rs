//! Calls in instances that are kept: see [`config::Isolation::Pooled`].

use std::{sync::Arc, time::Instant};

use wasmtime::{Store, component::Instance};

use super::{
    Call, Plugin, configure,
    engine::pool_calls,
    guest::{Guest, Subject},
    pool::{Pool, Resident},
    program::Fault,
    stage::Heavy,
};
use crate::config::{Isolation, Limits};

/// The instances of one plugin on one route, and who takes away those that nobody calls.
pub(super) struct Keeper {
    pool: Arc<Pool>,
    heavy: Arc<Heavy>,
}

impl Keeper {
    /// `resident` is the first to be kept, where any are. They are only kept on the stage for large guests.
    pub(super) fn of(isolation: Isolation, heavy: Option<Arc<Heavy>>, resident: Resident) -> Option<Self> {
        let (Isolation::Pooled(rules), Some(heavy)) = (isolation, heavy) else { return None };
        let pool = Pool::new(rules, pool_calls());
        heavy.reaper.watch(&pool);
        let keeper = Self { pool, heavy };
        keeper.heavy.reaper.expect(keeper.pool.stock(resident, Instant::now()));
        Some(keeper)
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    fn keep(&self, resident: Resident) {
        self.heavy.reaper.expect(self.pool.keep(resident, Instant::now()));
    }
}

impl Plugin {
    /// Does something with the instance that was called last; with a new one where all are busy.
    pub(super) async fn run_kept<T>(
        &self,
        keeper: &Keeper,
        subject: Subject,
        with: impl AsyncFnOnce(&mut Store<Guest>, &Instance) -> Result<T, Fault>,
    ) -> Call<T> {
        let _turn = keeper.pool.admit().await;
        let _permit = self.runtime.calls.acquire().await;
        let _ticks = self.runtime.ticker.hold();
        let started = Instant::now();
        let resident = match keeper.pool.take(started) {
            Some(resident) => Ok(resident),
            None => self.move_in().await,
        };
        match resident {
            Ok(resident) => self.run_in(resident, keeper, subject, with, started).await,
            Err(stillborn) => {
                let Stillborn { mut guest, fault } = *stillborn;
                self.ended(Err(fault), guest.finish(), started)
            }
        }
    }

    async fn run_in<T>(
        &self,
        mut resident: Resident,
        keeper: &Keeper,
        subject: Subject,
        with: impl AsyncFnOnce(&mut Store<Guest>, &Instance) -> Result<T, Fault>,
        started: Instant,
    ) -> Call<T> {
        Guest::renew(&mut resident.store, &self.limits, subject);
        resident.store.data_mut().grant(self.granted.clone());
        let answer = with(&mut resident.store, &resident.instance).await;
        let remains = resident.store.data_mut().finish();
        if !answer.as_ref().is_err_and(Fault::is_stop) {
            keeper.keep(resident);
        }
        self.ended(answer, remains, started)
    }

    /// Makes an instance and configures it, for which it has as long as when it was loaded.
    async fn move_in(&self) -> Result<Resident, Box<Stillborn>> {
        let limits = Limits { time: configure::TIME, ..self.limits };
        let mut store = Guest::store(&self.runtime.engine, &self.name, &limits, Subject::Nothing);
        match self.program.instantiate(&mut store, &self.config).await {
            Ok(instance) => Ok(Resident::new(store, instance)),
            Err(fault) => Err(Box::new(Stillborn { guest: store.into_data(), fault })),
        }
    }
}

/// An instance that did not get as far as its first call.
struct Stillborn {
    guest: Guest,
    fault: Fault,
}
