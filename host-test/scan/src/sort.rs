//! Sorts elements of all types by one instance of the sort: each of its own adds 4 kB to the page.

use std::cmp::Ordering;

/// The indexes of so many elements in the order of the elements. Equal ones stay as they stand.
pub fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| compare(a, b));
    order
}

/// Sorts elements. Equal ones stay as they stand.
pub fn sorted<T>(elements: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let order = order(elements.len(), &|a, b| compare(&elements[a], &elements[b]));
    let mut elements: Vec<Option<T>> = elements.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| elements[index].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_stay_as_they_stand() {
        let elements = vec![(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd'), (0, 'e')];
        let expected = vec![(0, 'e'), (1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')];
        assert_eq!(sorted(elements, |a, b| a.0.cmp(&b.0)), expected);
        assert_eq!(sorted(Vec::<u8>::new(), Ord::cmp), Vec::<u8>::new());
    }
}
