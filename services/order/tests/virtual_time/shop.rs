//! One run: processes, clients, and what happens to them.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use kit::{Cents, Ctx, lab::Defects};
use order_service::{
    domain::{Basket, Item, Line, Order},
    error::OrderError,
    saga::{
        Begun, Claim, Clock as _, Draft, Journal, Payments, Recovery, Saga, Settings, Stock,
        memory::{MemoryJournal, MemoryPayments, MemoryStock, TokioClock},
    },
    store::DEFECTS,
};
use parking_lot::Mutex;
use resilience::Deadline;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    check,
    net::{Disk, FarPayments, FarStock, Net},
};

pub const PRODUCTS: i32 = 3;
const CLIENTS: u64 = 5;
const TTL: Duration = Duration::from_secs(6);
/// From the last answer on, messages are still lost.
const SETTLING: Duration = Duration::from_secs(25);

/// How much happens in a run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Orders of each client.
    orders: u64,
    /// Units of each product at the beginning: some orders find too few.
    pub units: i64,
    /// How long processes die and links are cut.
    faults_until: Duration,
}

/// Over soon: a dozen crashes and cuts.
pub const SHORT: Extent = Extent {
    orders: 3,
    units: 12,
    faults_until: Duration::from_secs(25),
};

/// At least fifty crashes and cuts.
pub const LONG: Extent = Extent {
    orders: 40,
    units: 130,
    faults_until: Duration::from_secs(200),
};

/// What an attempt at an order came to, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok(String),
    /// A 4xx: nothing was done.
    Refused,
    /// Anything may have become of it.
    Info,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub user: i64,
    pub key: String,
    pub units: i64,
    pub outcome: Outcome,
}

/// What a run came to.
pub struct Story {
    pub log: String,
    pub broken: Vec<String>,
    /// Crashes and cuts; messages and transactions that got lost are not counted.
    pub faults: u64,
    pub acknowledged: u64,
}

pub struct World {
    pub extent: Extent,
    pub clock: Arc<TokioClock>,
    pub net: Arc<Net>,
    pub journal: Arc<MemoryJournal>,
    pub stock: Arc<MemoryStock>,
    pub payments: Arc<MemoryPayments>,
    pub attempts: Mutex<Vec<Attempt>>,
    log: Mutex<String>,
    faults: Mutex<u64>,
    keys: Mutex<u64>,
    defects: Defects,
    processes: Mutex<Vec<Option<Process>>>,
}

struct Process {
    saga: Saga,
    tasks: JoinSet<()>,
}

/// Runs a seed, with a defect switched on or none.
pub fn run(extent: Extent, seed: u64, defect: Option<&str>) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(extent, seed, defect);
        let broken = world.live().await;
        let attempts = world.attempts.lock();
        let ok = attempts
            .iter()
            .filter(|a| matches!(a.outcome, Outcome::Ok(_)));
        Story {
            acknowledged: ok.count() as u64,
            faults: *world.faults.lock(),
            log: world.log.lock().clone(),
            broken,
        }
    })
}

impl World {
    fn new(extent: Extent, seed: u64, defect: Option<&str>) -> Arc<Self> {
        let clock = Arc::new(TokioClock::start());
        let units = (1..=PRODUCTS).map(|id| (id, extent.units));
        Arc::new(Self {
            extent,
            net: Net::new(seed),
            journal: Arc::new(MemoryJournal::new()),
            stock: Arc::new(MemoryStock::new(clock.clone(), units)),
            payments: Arc::new(MemoryPayments::new()),
            attempts: Mutex::default(),
            log: Mutex::default(),
            faults: Mutex::default(),
            keys: Mutex::default(),
            defects: defect.map_or_else(Defects::off, |d| Defects::always(DEFECTS, d)),
            processes: Mutex::new(vec![None, None]),
            clock,
        })
    }

    pub fn say(&self, what: &str) {
        let at = self.clock.now_ms() - TokioClock::START_MS;
        let _ = writeln!(self.log.lock(), "{at:>6} {what}");
    }

    async fn live(self: &Arc<Self>) -> Vec<String> {
        (0..2).for_each(|n| self.start(n));
        let mut around = JoinSet::new();
        around.spawn(Arc::clone(self).crashes());
        around.spawn(Arc::clone(self).cuts());
        around.spawn(Arc::clone(self).sweeps());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(Arc::clone(self).client(client));
        }
        let mut broken = Vec::new();
        while let Some(client) = clients.join_next().await {
            client.unwrap();
            broken.extend(check::snapshot(self));
        }
        sleep(SETTLING).await;
        while self.faulty() {
            sleep(Duration::from_secs(1)).await;
        }
        self.net.heal();
        // Whatever was left behind when the last fault ended is over after its time to live
        // and five seconds.
        sleep(TTL + Duration::from_secs(5)).await;
        broken.extend(check::snapshot(self));
        broken.extend(check::at_rest(self));
        self.say(&format!("{:?}", self.journal.sagas()));
        self.say(&format!("{:?}", self.stock.available()));
        broken
    }

    fn faulty(&self) -> bool {
        let past = self.clock.now_ms() - TokioClock::START_MS;
        u128::from(past.unsigned_abs()) < self.extent.faults_until.as_millis()
    }

    fn start(self: &Arc<Self>, n: usize) {
        self.say(&format!("process {n} starts"));
        let journal: Arc<dyn Journal> = Arc::new(Disk(self.net.clone(), self.journal.clone()));
        let stock: Arc<dyn Stock> = Arc::new(FarStock(self.net.clone(), self.stock.clone()));
        let payments: Arc<dyn Payments> =
            Arc::new(FarPayments(self.net.clone(), self.payments.clone()));
        let settings = Settings {
            clock: self.clock.clone(),
            defects: self.defects.clone(),
            ..Settings::new(format!("process {n}"), TTL, render)
        };
        let saga = Saga::new(journal, stock, Some(payments), settings);
        let mut tasks = JoinSet::new();
        let recovery = Recovery::new(saga.clone());
        tasks.spawn(async move { recovery.run().await });
        self.processes.lock()[n] = Some(Process { saga, tasks });
    }

    /// Every task of the process ends where it stands, at whatever await that is.
    fn crash(&self, n: usize) {
        self.say(&format!("process {n} dies"));
        *self.faults.lock() += 1;
        let process = self.processes.lock()[n].take();
        if let Some(mut process) = process {
            process.tasks.abort_all();
        }
    }

    async fn crashes(self: Arc<Self>) {
        while self.faulty() {
            sleep(self.net.millis(300, 5_000)).await;
            let n = usize::try_from(self.net.roll(2)).unwrap();
            self.crash(n);
            sleep(self.net.millis(50, 2_000)).await;
            self.start(n);
        }
    }

    async fn cuts(self: Arc<Self>) {
        while self.faulty() {
            sleep(self.net.millis(300, 4_000)).await;
            let link = ["product", "payment"][usize::try_from(self.net.roll(2)).unwrap()];
            self.say(&format!("{link} is cut off"));
            *self.faults.lock() += 1;
            self.net.cut(link);
            // Some cuts outlast a reservation.
            sleep(self.net.millis(200, 8_000)).await;
            self.net.mend(link);
        }
    }

    async fn sweeps(self: Arc<Self>) {
        loop {
            sleep(Duration::from_millis(500)).await;
            self.stock.sweep();
        }
    }

    async fn client(self: Arc<Self>, client: u64) {
        for n in 0..self.extent.orders {
            sleep(self.net.millis(0, 4_000)).await;
            let key = format!("{client}-{n}");
            let line = Line {
                product_id: i32::try_from(self.net.roll(3)).unwrap() + 1,
                quantity: i32::try_from(self.net.roll(3)).unwrap() + 1,
            };
            for _ in 0..6 {
                let outcome = self.attempt(client, &key, line).await;
                self.say(&format!("{key} {line:?}: {outcome:?}"));
                let again = outcome == Outcome::Info || self.net.roll(4) == 0;
                self.attempts.lock().push(Attempt {
                    user: i64::try_from(client).unwrap(),
                    key: key.clone(),
                    units: i64::from(line.quantity),
                    outcome,
                });
                if !again {
                    break;
                }
                sleep(self.net.millis(10, 2_500)).await;
            }
        }
    }

    async fn attempt(self: &Arc<Self>, client: u64, key: &str, line: Line) -> Outcome {
        let n = usize::try_from(self.net.roll(2)).unwrap();
        let (reply, answer) = oneshot::channel();
        let user = i64::try_from(client).unwrap();
        let claim = Claim {
            key: key.to_owned(),
            body: format!("{line:?}"),
        };
        {
            let mut processes = self.processes.lock();
            let Some(process) = &mut processes[n] else {
                return Outcome::Info;
            };
            let this = Arc::clone(self);
            let saga = process.saga.clone();
            process
                .tasks
                .spawn(async move { this.serve(saga, user, claim, line, reply).await });
        }
        match timeout(Duration::from_secs(5), answer).await {
            Ok(Ok(Ok(answer))) => Outcome::Ok(answer),
            Ok(Ok(Err(OrderError::Shortage(_) | OrderError::KeyReused))) => Outcome::Refused,
            _ => Outcome::Info,
        }
    }

    /// What the request's handler does.
    async fn serve(
        self: Arc<Self>,
        saga: Saga,
        user_id: i64,
        claim: Claim,
        line: Line,
        reply: oneshot::Sender<Result<String, OrderError>>,
    ) {
        let ctx = Ctx {
            deadline: Deadline::after(Duration::from_secs(4)),
            ..Ctx::internal("r")
        };
        let journal = Disk(self.net.clone(), self.journal.clone());
        let known = match journal.look(&ctx, user_id, &claim).await {
            Ok(Some(Begun::Answered(answer))) => Some(Ok(answer)),
            Ok(Some(Begun::OtherBody)) => Some(Err(OrderError::KeyReused)),
            Ok(Some(_)) => Some(Err(OrderError::KeyInFlight)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        if let Some(known) = known {
            return drop(reply.send(known));
        }
        let order_key = {
            let mut keys = self.keys.lock();
            *keys += 1;
            format!("order-{:04}", *keys)
        };
        let item = Item {
            id: 0,
            product_id: i64::from(line.product_id),
            product_name: "P".to_owned(),
            quantity: i64::from(line.quantity),
            price: Cents(100),
        };
        let draft = Draft {
            order_key,
            user_id,
            contact: None,
            lines: vec![line],
            basket: Basket::new(vec![item]).unwrap(),
            claim: Some(claim),
        };
        saga.make(&ctx, draft, reply).await;
    }
}

fn render(order: &Order) -> String {
    format!("{} {} {}", order.id, order.order_key, order.total)
}
