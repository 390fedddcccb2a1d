//! What a side of a plugin connection wrote is cut into chunks, in either order of their parts, of which nothing is lost, and which
//! are the same when they are written again.
#![no_main]

use conformance::chunk::{Order, Tail, cut};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for order in [Order::Published, Order::Described] {
        let (chunks, tail) = cut(bytes, order);
        let again: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.encoded(order)).collect();
        assert_eq!(cut(&again, order), (chunks.clone(), Tail::Nothing));
        let rest = match &tail {
            Tail::Nothing => &[][..],
            Tail::CutOff(length) => &bytes[bytes.len() - length..],
            Tail::Nonsense(_) => {
                // Nothing that follows makes anything of it.
                let (same, tail) = cut(&[bytes, b"\0\0 \0"].concat(), order);
                assert!(same == chunks && matches!(tail, Tail::Nonsense(_)));
                continue;
            }
        };
        // Numbers may have been written longer than they are written again.
        assert!(again.len() <= bytes.len() - rest.len());
        assert_eq!(cut(&bytes[..bytes.len() - rest.len()], order), (chunks, Tail::Nothing));
    }
});
