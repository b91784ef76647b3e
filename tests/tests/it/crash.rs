use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sluice_tests::{
    client,
    gateway::Setup,
    sink::{Reply, Sink},
    wait,
};
use tokio::{task::JoinSet, time::sleep};

use crate::common::{LOUD, hook, patient_relay};

const ROUNDS: u32 = 20;
const SENDERS: usize = 8;
/// How long a round's load goes on after its first acknowledgement, before the kill: a little longer every time,
/// so that it hits other moments.
const SHORTEST: Duration = Duration::from_millis(150);
const STEP: Duration = Duration::from_millis(23);

/// One in five deliveries fails at first, so that retries are under way at every kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_under_load_it_loses_nothing_acknowledged() {
    let _alone = LOUD.lock().await;
    let sink = Sink::start().await;
    let flapping = [200, 200, 200, 200, 500].map(Reply::status);
    sink.answer_in_circles("/in", flapping);
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut acknowledged = BTreeSet::new();
    let mut gateway = Setup::new().sink(&sink).config(&patient_relay()).start().await;
    for round in 0..ROUNDS {
        let senders = Senders::start(gateway.addr(), &numbers);
        wait::wait_until("first acknowledgement", async || senders.have_acknowledgement()).await;
        // The load's duration, not a wait for a state.
        sleep(SHORTEST + STEP * round).await;
        gateway = gateway.crash_and_restart().await;
        acknowledged.extend(senders.finish().await);
    }
    let arrived = || deliveries(&sink);
    wait::wait_until("every acknowledged event delivered", async || {
        let arrived = arrived();
        acknowledged.iter().all(|number| arrived.contains_key(number))
    })
    .await;
    for (number, ids) in arrived() {
        assert_eq!(ids.len(), 1, "event {number} came under several ids: {ids:?}");
    }
}

/// What arrived: by each event's number, the `webhook-id`s that it came under.
fn deliveries(sink: &Sink) -> BTreeMap<usize, BTreeSet<String>> {
    let mut events = BTreeMap::<_, BTreeSet<_>>::new();
    for received in sink.received("/in") {
        let number = received.json()["n"].as_u64().expect("events are numbered") as usize;
        events.entry(number).or_default().insert(received.webhook_id().to_owned());
    }
    events
}

/// Senders that go on until the gateway is gone.
struct Senders {
    tasks: JoinSet<()>,
    acknowledged: Arc<Mutex<Vec<usize>>>,
}

impl Senders {
    fn start(target: SocketAddr, numbers: &Arc<AtomicUsize>) -> Self {
        let (mut tasks, acknowledged) = (JoinSet::new(), Arc::default());
        for _ in 0..SENDERS {
            tasks.spawn(send_until_gone(target, Arc::clone(numbers), Arc::clone(&acknowledged)));
        }
        Self { tasks, acknowledged }
    }

    fn have_acknowledgement(&self) -> bool {
        !self.acknowledged.lock().unwrap().is_empty()
    }

    /// The numbers of the events that were acknowledged.
    async fn finish(self) -> Vec<usize> {
        self.tasks.join_all().await;
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

async fn send_until_gone(
    target: SocketAddr,
    numbers: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<Vec<usize>>>,
) {
    let (client, base) = (client::http1(), format!("http://{target}"));
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        match hook(number).send(&client, &base).await {
            Ok(answer) if answer.status == 202 => acknowledged.lock().unwrap().push(number),
            Ok(answer) => panic!("answered {}: {}", answer.status, answer.text()),
            Err(_) => return,
        }
    }
}
