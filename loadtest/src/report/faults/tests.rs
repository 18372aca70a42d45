use super::*;

#[test]
fn every_answer_of_a_slice_is_drawn_once_as_what_it_is_to_the_caller() {
    let answers = [
        ("200", 10),
        ("204", 1),
        ("401", 2),
        ("503", 3),
        ("timeout", 4),
    ];
    let slice = Slice {
        at_ms: 0,
        answers: answers.map(|(kind, count)| (kind.to_owned(), count)).into(),
    };
    assert_eq!(outcomes(&slice), [11, 2, 3, 4]);
}
