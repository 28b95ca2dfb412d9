//! Customers, staff, and whoever changes the prices.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Config, Mix, desk::Desk};
use crate::chance::Chance;
use crate::shop::{Placed, Reply};
use crate::types::{Basket, Cents, OrderId, ProductId, Status, UserId};

/// How often an order of unknown fate is asked again under its key.
const TRIES: u32 = 4;
/// Between two of these.
const AGAIN_AFTER: Duration = Duration::from_millis(150);
/// How many of its orders a customer remembers.
const REMEMBERED: usize = 40;

/// What a customer has asked for.
struct Mine {
    key: String,
    basket: Basket,
    order: OrderId,
}

struct Customer<'a> {
    desk: &'a Desk<'a>,
    user: UserId,
    chance: Chance,
    mine: Vec<Mine>,
    keys: u64,
}

enum Deed {
    Place,
    Twins,
    Repeat,
    OtherBody,
    Cancel,
    Read,
    List,
}

/// A customer's day, until the run ends.
pub(super) async fn customer(desk: &Desk<'_>, config: &Config, user: UserId) {
    let nth = user.unsigned_abs();
    let mut customer = Customer {
        desk,
        user,
        chance: Chance::of(config.seed, "customer", nth),
        mine: Vec::new(),
        keys: 0,
    };
    while !desk.stopped() {
        let wait = customer.chance.around(config.pause);
        desk.pause(wait).await;
        if desk.stopped() {
            return;
        }
        let deed = draw(&mut customer.chance, &config.mix);
        customer.act(deed).await;
    }
}

fn draw(chance: &mut Chance, mix: &Mix) -> Deed {
    let weights = [
        (mix.place, Deed::Place),
        (mix.twins, Deed::Twins),
        (mix.repeat, Deed::Repeat),
        (mix.other_body, Deed::OtherBody),
        (mix.cancel, Deed::Cancel),
        (mix.read, Deed::Read),
        (mix.list, Deed::List),
    ];
    let sum: u32 = weights.iter().map(|(weight, _)| weight).sum();
    let mut left = chance.below(sum.max(1) as usize) as u32;
    for (weight, deed) in weights {
        if left < weight {
            return deed;
        }
        left -= weight;
    }
    Deed::Place
}

impl Customer<'_> {
    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Place => self.place(1).await,
            Deed::Twins => {
                let twins = 2 + self.chance.below(3);
                self.place(twins).await;
            }
            Deed::List => drop(self.desk.list(self.user).await),
            Deed::Repeat | Deed::OtherBody | Deed::Cancel | Deed::Read => self.revisit(deed).await,
        }
    }

    /// Something about an order that is known already.
    async fn revisit(&mut self, deed: Deed) {
        let Some(mine) = self.chance.pick(&self.mine) else {
            return;
        };
        match deed {
            Deed::Repeat => {
                self.desk.place(self.user, &mine.key, &mine.basket).await;
            }
            Deed::OtherBody => {
                let other = self.desk.fresh_basket();
                self.desk.place(self.user, &mine.key, &other).await;
            }
            Deed::Cancel => {
                let order = mine.order;
                let cancelled = self.desk.cancel(self.user, order).await;
                if matches!(cancelled, Reply::Done(_)) {
                    self.desk.read(self.user, order).await;
                }
            }
            _ => {
                self.desk.read(self.user, mine.order).await;
            }
        }
    }

    /// A new order, so many times at once; asked again while its fate is unknown.
    async fn place(&mut self, at_once: usize) {
        // Customers share their keys' names: a key is one user's only.
        let key = format!("{}-{}", self.desk.run, self.keys);
        self.keys += 1;
        let basket = self.desk.fresh_basket();
        let twins = (0..at_once).map(|_| self.desk.place(self.user, &key, &basket));
        let mut placed = settled(join_all(twins).await);
        for _ in 1..TRIES {
            if !matches!(placed, Reply::Unknown(_)) || self.desk.stopped() {
                break;
            }
            self.desk.pause(AGAIN_AFTER).await;
            placed = settled(vec![self.desk.place(self.user, &key, &basket).await]);
        }
        let Reply::Done(placed) = placed else { return };
        let order = placed.order.id;
        self.remember(Mine { key, basket, order });
        match self.chance.below(8) {
            0 | 1 => drop(self.desk.read(self.user, order).await),
            2 => drop(self.desk.list(self.user).await),
            _ => {}
        }
    }

    fn remember(&mut self, mine: Mine) {
        if self.mine.len() < REMEMBERED {
            self.mine.push(mine);
            return;
        }
        let oldest = self.chance.below(REMEMBERED);
        self.mine[oldest] = mine;
    }
}

/// What several answers to one request come to: the order if one of them tells of it; unknown when
/// one of them doesn't know, or says that another is still under way.
fn settled(replies: Vec<Reply<Placed>>) -> Reply<Placed> {
    let open = |reply: &Reply<Placed>| match reply {
        Reply::Unknown(_) | Reply::Refused { status: 409, .. } => true,
        Reply::Refused { .. } | Reply::Done(_) => false,
    };
    let unknown = replies.iter().any(open);
    let mut refused = None;
    for reply in replies {
        match reply {
            Reply::Done(placed) => return Reply::Done(placed),
            other => refused = Some(other),
        }
    }
    match refused {
        Some(refused) if !unknown => refused,
        _ => Reply::Unknown("not settled".to_owned()),
    }
}

/// Takes orders through their life, and now and then asks for a status at random.
pub(super) async fn staff(desk: &Desk<'_>, config: &Config, every: Duration) {
    let mut chance = Chance::of(config.seed, "staff", 0);
    let mut known: BTreeMap<OrderId, Status> = BTreeMap::new();
    while !desk.stopped() {
        let wait = chance.around(every);
        desk.pause(wait).await;
        let Some(order) = desk.some_order(|count| chance.below(count)) else {
            continue;
        };
        let at = known.get(&order).copied().unwrap_or(Status::Pending);
        let wild = chance.happens(0.2);
        let to = match (wild, at.next()) {
            (false, Some(next)) => next,
            (false, None) => continue,
            (true, _) => Status::ALL[chance.below(5)],
        };
        match desk.advance(order, to).await {
            Reply::Done(seen) => {
                known.insert(order, seen.order.status);
            }
            // Refused: it stands somewhere else than thought, or the step was a wild one.
            Reply::Refused { .. } if !wild => {
                known.insert(order, Status::Cancelled);
            }
            Reply::Refused { .. } | Reply::Unknown(_) => {}
        }
    }
}

/// Changes prices; a product never has the same one twice.
pub(super) async fn repricer(desk: &Desk<'_>, config: &Config, every: Duration) {
    let mut chance = Chance::of(config.seed, "prices", 0);
    let mut rounds: BTreeMap<ProductId, Cents> = BTreeMap::new();
    while !desk.stopped() {
        let wait = chance.around(every);
        desk.pause(wait).await;
        if desk.stopped() {
            return;
        }
        let Some(&(product, base)) = chance.pick(&config.products) else {
            return;
        };
        let round = rounds.entry(product).or_default();
        *round += 1;
        desk.reprice(product, base + *round).await;
    }
}

/// Looks at the books now and then.
pub(super) async fn auditor(desk: &Desk<'_>, every: Duration) {
    while !desk.stopped() {
        desk.pause(every).await;
        desk.audit().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_that_tells_of_the_order_settles_it() {
        let order = crate::types::Order {
            id: 1,
            user: 1,
            status: Status::Pending,
            total: 0,
            lines: Vec::new(),
        };
        let done = || {
            Reply::Done(Placed {
                order: order.clone(),
                digest: 1,
            })
        };
        let unknown = || Reply::Unknown("reset".to_owned());
        let refused = |status| Reply::Refused {
            status,
            error: String::new(),
        };
        assert!(matches!(
            settled(vec![unknown(), done(), refused(409)]),
            Reply::Done(_)
        ));
        assert!(matches!(
            settled(vec![refused(400), refused(409)]),
            Reply::Unknown(_)
        ));
        assert!(matches!(
            settled(vec![refused(400), unknown()]),
            Reply::Unknown(_)
        ));
        assert!(matches!(
            settled(vec![refused(400)]),
            Reply::Refused { status: 400, .. }
        ));
    }
}
