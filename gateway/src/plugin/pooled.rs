//! Calls in instances that are kept: see [`config::Isolation::Pooled`].

use std::{sync::Arc, time::Instant};

use super::{
    Call, Plugin, View, configure,
    engine::pool_calls,
    guest::Guest,
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
    /// As [`call`](Self::call), in the instance that was called last; in a new one where all are busy.
    pub(super) async fn call_pooled(&self, keeper: &Keeper, view: &View) -> Call {
        let _turn = keeper.pool.admit().await;
        let _permit = self.runtime.calls.acquire().await;
        let _ticks = self.runtime.ticker.hold();
        let started = Instant::now();
        let resident = match keeper.pool.take(started) {
            Some(resident) => Ok(resident),
            None => self.move_in().await,
        };
        let mut resident = match resident {
            Ok(resident) => resident,
            Err(stillborn) => {
                let Stillborn { mut guest, fault } = *stillborn;
                return self.ended(Err(fault), guest.finish(), started);
            }
        };
        Guest::renew(&mut resident.store, &self.limits, view.clone());
        let answer = self.program.call(&mut resident.store, &resident.instance, view).await;
        let remains = resident.store.data_mut().finish();
        if !answer.as_ref().is_err_and(Fault::is_stop) {
            keeper.keep(resident);
        }
        self.ended(answer, remains, started)
    }

    /// Makes an instance and configures it, for which it has as long as when it was loaded.
    async fn move_in(&self) -> Result<Resident, Box<Stillborn>> {
        let limits = Limits { time: configure::TIME, ..self.limits };
        let mut store = Guest::store(&self.runtime.engine, &self.name, &limits, None);
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
