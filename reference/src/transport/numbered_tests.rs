use super::*;

fn frame(n: u64) -> Vec<u8> {
    format!("1{{Value: {n}}}#").into_bytes()
}

fn replies(heard: Heard) -> Vec<Vec<u8>> {
    match heard {
        Heard::Replies(replies) => replies,
        Heard::End => panic!("it was the end"),
    }
}

#[test]
fn a_datagram_is_read_as_it_is_written_and_nothing_else_is_one() {
    for (session, number, message) in [(0, 0, &b""[..]), (u64::MAX, u64::MAX, b"1 2 #"), (7, 1, b" ")] {
        let datagram = Datagram { session, number, message };
        let bytes = datagram.bytes();
        assert_eq!(Datagram::parse(&bytes), Some(datagram));
        assert!(bytes.len() - message.len() <= HEADER_BYTES_MAX);
    }
    for bytes in
        [&b""[..], b"1", b"1 2", b"1 2#", b"a 1 #", b" 1 2 ", b"01 1 ", b"1 +1 ", b"18446744073709551616 1 ", b"1  1 "]
    {
        assert_eq!(Datagram::parse(bytes), None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_lost_is_sent_again_and_not_done_again() {
    let now = Instant::now();
    let (mut asking, mut answering) = (Asking::new(7), Answering::new(7));
    let first = asking.ask(&frame(1), now);
    assert_eq!(first, b"7 1 1{Value: 1}#");
    // The request is lost.
    assert_eq!(asking.due(now), Ok(vec![]));
    assert_eq!(asking.deadline(), Some(now + AGAIN_FIRST));
    assert_eq!(asking.due(now + AGAIN_FIRST), Ok(vec![first.clone()]));
    assert_eq!(answering.heard(1, &frame(1)), (vec![frame(1)], None));
    let answer = answering.answer(&frame(10));
    // The reply is lost.
    assert_eq!(asking.due(now + 3 * AGAIN_FIRST), Ok(vec![first]));
    assert_eq!(answering.heard(1, &frame(1)), (vec![], Some(answer.clone())));
    assert_eq!(replies(asking.heard(&answer, now)), [frame(10)]);
    // And comes late.
    assert_eq!(replies(asking.heard(&answer, now)), Vec::<Vec<u8>>::new());
    assert_eq!(asking.deadline(), None);
    assert_eq!(asking.counts().to_string(), "2 sent again, 1 came twice");
    assert_eq!(answering.counts().to_string(), "1 came twice");
}

#[test]
fn what_comes_out_of_order_is_handed_on_in_order() {
    let now = Instant::now();
    let (mut asking, mut answering) = (Asking::new(7), Answering::new(7));
    for n in 1..=3 {
        asking.ask(&frame(n), now);
    }
    assert_eq!(answering.heard(3, &frame(3)), (vec![], None));
    // Who has got it says so.
    assert_eq!(answering.heard(3, &frame(3)), (vec![], Some(b"7 3 ".to_vec())));
    assert_eq!(answering.heard(1, &frame(1)), (vec![frame(1)], None));
    assert_eq!(answering.heard(2, &frame(2)), (vec![frame(2), frame(3)], None));
    let answers: Vec<_> = (1..=3).map(|n| answering.answer(&frame(10 * n))).collect();
    assert_eq!(replies(asking.heard(&answers[1], now)), Vec::<Vec<u8>>::new());
    assert_eq!(replies(asking.heard(&answers[0], now)), [frame(10), frame(20)]);
    assert_eq!(replies(asking.heard(&answers[2], now)), [frame(30)]);
    assert_eq!((asking.counts().reordered, answering.counts().reordered), (1, 1));
}

#[test]
fn who_says_nothing_is_given_up_and_who_is_at_it_is_not() {
    let begun = Instant::now();
    let mut asking = Asking::new(7);
    asking.ask(&frame(1), begun);
    let mut sent = 1;
    let gave_up = loop {
        let now = asking.deadline().expect("a request");
        match asking.due(now) {
            Ok(due) => sent += due.len(),
            Err(given_up) => break (given_up, now - begun),
        }
    };
    assert_eq!(gave_up, (GivenUp { number: 1 }, Duration::from_millis(250 + 500 + 1000 + 3 * 2000)));
    assert_eq!(sent, TRIES_MAX as usize);

    let mut asking = Asking::new(7);
    asking.ask(&frame(1), begun);
    for _ in 0..3 * TRIES_MAX {
        let now = asking.deadline().expect("a request");
        assert_eq!(asking.due(now).expect("it has heard").len(), 1);
        assert_eq!(replies(asking.heard(b"7 1 ", now)), Vec::<Vec<u8>>::new());
        assert_eq!(asking.deadline(), Some(now + AGAIN_MAX));
    }
}

#[test]
fn a_request_that_could_not_be_sent_is_answered_in_its_turn() {
    let now = Instant::now();
    let mut asking = Asking::new(7);
    asking.ask(&frame(1), now);
    asking.ask(&frame(2), now);
    assert_eq!(asking.answer_last(b"too long".to_vec()), Vec::<Vec<u8>>::new());
    assert_eq!(asking.ask(&frame(3), now), b"7 2 1{Value: 3}#");
    assert_eq!(replies(asking.heard(b"7 2 b#", now)), Vec::<Vec<u8>>::new());
    assert_eq!(replies(asking.heard(b"7 1 a#", now)), [&b"a#"[..], b"too long", b"b#"]);
    asking.ask(&frame(4), now);
    assert_eq!(asking.answer_last(b"too long".to_vec()), [b"too long"]);
}

#[test]
fn no_more_are_on_their_way_than_there_is_room_for() {
    let now = Instant::now();
    let (mut asking, mut answering) = (Asking::new(7), Answering::new(7));
    let mut sent = 0;
    while asking.wants() {
        sent += 1;
        asking.ask(&frame(sent), now);
    }
    // At a path there is room for ten, on some systems.
    assert_eq!(sent, AHEAD_MAX);
    assert!(sent < 10);
    // All of them can come in any order, and all answers are kept.
    for n in (1..=WINDOW).rev() {
        answering.heard(n, &frame(n));
    }
    let answers: Vec<_> = (1..=WINDOW).map(|n| answering.answer(&frame(n))).collect();
    assert_eq!(answering.heard(1, &frame(1)).1.as_ref(), Some(&answers[0]));
    replies(asking.heard(&answers[0], now));
    assert!(asking.wants());
    answering.heard(WINDOW + 1, &frame(0));
    answering.answer(&frame(0));
    assert_eq!(answering.heard(1, &frame(1)), (vec![], None));
    // Nor is anything kept of what cannot have been sent, and not more taken than there are answers to.
    let mut busy = Answering::new(8);
    (1..=WINDOW).for_each(|n| assert_eq!(busy.heard(n, &frame(n)).0.len(), 1));
    assert_eq!(busy.heard(WINDOW + 1, &frame(0)), (vec![], None));
    assert_eq!(answering.heard(3 * WINDOW, &frame(0)), (vec![], None));
    assert_eq!(answering.heard(0, &frame(0)), (vec![], None));
    assert_eq!(answering.counts().strange, 2);
}

#[test]
fn both_sides_come_to_an_end() {
    let now = Instant::now();
    let (mut asking, mut answering) = (Asking::new(7), Answering::new(7));
    asking.ask(&frame(1), now);
    assert_eq!(asking.finish(now), b"7 2 ");
    assert!(!asking.wants());
    assert_eq!(answering.heard(2, b""), (vec![], None));
    assert_eq!(answering.heard(1, &frame(1)), (vec![frame(1), vec![]], None));
    let reply = answering.answer(&frame(1));
    assert_eq!(replies(asking.heard(&reply, now)), [frame(1)]);
    let end = answering.answer_end();
    assert_eq!(asking.heard(&end, now), Heard::End);
    // That was lost.
    assert_eq!(answering.heard(2, b""), (vec![], Some(end)));
}

#[test]
fn the_end_is_no_end_as_long_as_something_is_owed() {
    let now = Instant::now();
    let (mut asking, mut answering) = (Asking::new(7), Answering::new(7));
    asking.ask(&frame(1), now);
    asking.finish(now);
    answering.heard(1, &frame(1));
    answering.heard(2, b"");
    let again = asking.due(now + AGAIN_FIRST).expect("it is not given up");
    assert_eq!(again.len(), 2);
    let (_, at_it) = answering.heard(2, b"");
    assert_eq!(replies(asking.heard(&at_it.expect("a word"), now)), Vec::<Vec<u8>>::new());
    assert!(answering.owes());
    let reply = answering.answer(&frame(1));
    assert_eq!(replies(asking.heard(&reply, now)), [frame(1)]);
    assert_eq!(asking.heard(&answering.answer_end(), now), Heard::End);
}

#[test]
fn what_belongs_to_another_session_is_counted_and_no_more() {
    let now = Instant::now();
    let mut asking = Asking::new(7);
    asking.ask(&frame(1), now);
    for strange in [&b"8 1 x#"[..], b"x", b"7 5 x#", b"7 0 x#"] {
        assert_eq!(replies(asking.heard(strange, now)), Vec::<Vec<u8>>::new());
    }
    assert_eq!(asking.counts(), Counts { strange: 4, ..Counts::default() });
    assert_eq!(Counts::default().to_string(), "");
}

#[test]
fn an_answer_that_is_too_long_gives_way_to_another() {
    let mut answering = Answering::new(7);
    answering.heard(1, &frame(1));
    answering.answer(&[b'x'; 100]);
    let instead = answering.answer_instead(b"short#");
    assert_eq!(instead, b"7 1 short#");
    assert_eq!(answering.heard(1, &frame(1)), (vec![], Some(instead)));
}
