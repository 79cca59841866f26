//! Guessing passwords.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{PRIVATE, Town, Visitor};
use crate::support::accounts::PASSWORD;
use crate::support::api::Answer;
use crate::support::process::Server;
use crate::support::{Stack, http_with};

/// How a sign-in from an address of this machine's is answered.
async fn sign_in(server: &Server, address: [u8; 4], name: &str, password: &str) -> Answer {
    let visitor = Visitor::basic("guesser", name, password);
    let http = http_with(|builder| builder.local_address(std::net::IpAddr::from(address)));
    let get = http.get(format!("{}/v2/", server.base_url()));
    Answer::to(get.header("authorization", visitor.authorization.expect("one"))).await
}

pub async fn slowed(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let other = stack.server(&["--auth", "token"]).await;
    let (guesser, owner) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let (mut tries, mut patience) = (0, 0);
    // Long enough for all of what follows, on a busy machine as well.
    let slow = loop {
        // A replica each: neither begins to count anew.
        let server = if tries % 2 == 0 { &town.server } else { &other };
        let answer = sign_in(server, guesser, "developer", &format!("guess {tries}")).await;
        if answer.status == 401 {
            tries += 1;
            assert!(tries < 30, "nothing slows it down");
            continue;
        }
        assert!(tries >= 5, "people mistype, and {tries} times is few");
        let wait: u64 = answer.header("retry-after").and_then(|value| value.parse().ok()).expect("seconds");
        if wait > 4 {
            break (answer, wait);
        }
        assert!(wait >= patience, "it waits longer each time: {patience}, {wait}");
        patience = wait;
        tokio::time::sleep(Duration::from_secs(wait)).await;
    };
    let (slow, seconds) = slow;
    slow.refused(429, "TOOMANYREQUESTS");
    // The right one is not even looked at: else the answer would tell a guesser to stop.
    for server in [&town.server, &other] {
        let answer = sign_in(server, guesser, "developer", PASSWORD).await;
        answer.refused(429, "TOOMANYREQUESTS");
    }
    // Whoever it is about does not notice, and neither do others behind the guesser's address.
    sign_in(&town.server, owner, "developer", PASSWORD).await.expect(200);
    sign_in(&town.server, guesser, "guest", PASSWORD).await.expect(200);
    // After the wait the right one is taken, and all is forgotten.
    tokio::time::sleep(Duration::from_secs(seconds + 1)).await;
    sign_in(&other, guesser, "developer", PASSWORD).await.expect(200);
    for _ in 0..3 {
        sign_in(&other, guesser, "developer", "mistyped").await.refused(401, "UNAUTHORIZED");
    }
    sign_in(&other, guesser, "developer", PASSWORD).await.expect(200);
}

pub async fn at_once(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let other = stack.server(&["--auth", "token"]).await;
    let guesser = [127, 0, 0, 2];
    let wrong = (0..40).map(|number| {
        let server = if number % 2 == 0 { &town.server } else { &other };
        async move { sign_in(server, guesser, "developer", &format!("guess {number}")).await }
    });
    let answers = join_all(wrong).await;
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    // Those that are free, and where the machine is slow one more after each wait.
    assert!((5..=8).contains(&tried), "{tried} of 40 guesses were tried");
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429)));

    // Somebody whose machines all start at once is nobody who guesses.
    let owner = [127, 0, 0, 3];
    let right = (0..12).map(|_| sign_in(&town.server, owner, "developer", PASSWORD));
    assert!(join_all(right).await.iter().all(|answer| answer.status == 200));
    // Nor does it help a guesser, who waits, that the right one was taken a moment ago from elsewhere.
    let waiting = "UPDATE sign_in_attempt SET attempts = 20".to_owned();
    assert!(stack.database.run(waiting).await > 0);
    sign_in(&town.server, guesser, "developer", "another guess").await.refused(429, "TOOMANYREQUESTS");
    sign_in(&town.server, guesser, "developer", PASSWORD).await.refused(429, "TOOMANYREQUESTS");
}

pub async fn repeated(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let other = stack.server(&["--auth", "token"]).await;
    let address = [127, 0, 0, 2];
    // As a client does that has kept it, with each request of a push; and whether or not anybody has that name.
    for name in ["developer", "nobody-here"] {
        for server in [&town.server, &other, &town.server, &other] {
            for _ in 0..5 {
                sign_in(server, address, name, "an old password").await.refused(401, "UNAUTHORIZED");
            }
        }
    }
    // One for each of two replicas was counted, and three more are free.
    sign_in(&town.server, address, "developer", PASSWORD).await.expect(200);
    let mut seen = Vec::new();
    for guess in ["1", "2", "3", "4", "5", "6"] {
        seen.push(sign_in(&other, address, "developer", guess).await.status);
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 429], "guesses are counted as ever");
}

pub async fn mistyped(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let address = [127, 0, 0, 2];
    for round in 0..4 {
        sign_in(&town.server, address, "developer", PASSWORD).await.expect(200);
        for mistake in 0..4 {
            let mistyped = format!("typo {round} {mistake}");
            sign_in(&town.server, address, "developer", &mistyped).await.refused(401, "UNAUTHORIZED");
        }
    }
    // What its whole network may guess is not forgotten with that.
    let counted = "SELECT CAST(attempts AS TEXT) FROM sign_in_attempt ORDER BY sign_in_attempt.attempts DESC";
    let counted = stack.database.texts(counted).await;
    assert_eq!(counted, ["16", "4"]);
}

pub async fn nobody(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let guess = async |name: &str| {
        let mut seen = Vec::new();
        for guess in 0..6 {
            let answer = sign_in(&town.server, [127, 0, 0, 2], name, &format!("guess {guess}")).await;
            let without_seconds = answer.text().replace(|c: char| c.is_ascii_digit(), "");
            seen.push((answer.status, without_seconds));
        }
        seen
    };
    let known = guess("developer").await;
    assert_eq!(known.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429]);
    // Each counts by itself, whatever of them anybody has.
    for name in ["nobody-here", "no name at all, but text", "nobody-else"] {
        assert_eq!(guess(name).await, known, "{name}");
    }
}

pub async fn networks(stack: Arc<Stack>) {
    let town = Town::new(&stack, &["--trust-forwarded-for"]).await;
    let guess = async |address: &str| {
        let visitor = Visitor::basic("guesser", "developer", &format!("a guess from {address}"));
        let get = visitor.http.get(town.url("/v2/")).header("x-forwarded-for", address);
        Answer::to(get).await.status
    };
    for number in 1..=5 {
        assert_eq!(guess(&format!("2001:db8:1:2:{number}::{number}")).await, 401);
    }
    assert_eq!(guess("2001:db8:1:2:ffff:ffff:ffff:ffff").await, 429, "another address of the same network");
    assert_eq!(guess("2001:db8:1:3::1").await, 401, "another network");
    assert_eq!(guess("::ffff:192.0.2.1").await, 401);
}

pub async fn secrets(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let robot = format!("robot${PRIVATE}+puller");
    let token = crate::support::accounts::Accounts::of(&stack).await.token("guest").await;
    let wrong_token = format!("{}x", &token[..token.len() - 1]);
    for (name, secret) in [(robot.as_str(), "wrong"), ("guest", &wrong_token), ("robot$inner+none", "wrong")]
    {
        let mut seen = Vec::new();
        for _ in 0..8 {
            let visitor = Visitor::basic("guesser", name, secret);
            seen.push(Answer::to(visitor.http.get(town.url("/v2/"))).await.status);
        }
        assert_eq!(seen, [401, 401, 401, 401, 401, 429, 429, 429], "{name}");
    }
    // A right one is taken all the same: nobody guesses those, and the robot's other machines go on.
    Answer::to(town.visitor("puller").http.get(town.url("/v2/"))).await.expect(200);
    // And beyond what is free nothing is written down.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let entries = "SELECT resource FROM audit_entry WHERE operation = 'login'";
    let entries = stack.database.texts(entries).await;
    assert_eq!(entries.iter().filter(|resource| **resource == robot).count(), 5, "{entries:?}");
    assert_eq!(entries.iter().filter(|resource| **resource == "guest").count(), 5, "{entries:?}");
}
