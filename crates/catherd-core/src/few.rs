//! Lists that are mostly short.

use std::ops::{Deref, DerefMut};

/// A list that takes no allocation while it has at most `N` elements.
pub(crate) struct Few<T, const N: usize = 8> {
    few: [T; N],
    len: usize,
    /// All of them, if they are more.
    many: Vec<T>,
}

impl<T: Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self {
            few: std::array::from_fn(|_| T::default()),
            len: 0,
            many: Vec::new(),
        }
    }
}

impl<T: Default, const N: usize> Few<T, N> {
    #[inline]
    pub(crate) fn push(&mut self, element: T) {
        if let Some(free) = self.few.get_mut(self.len) {
            *free = element;
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few.iter_mut().map(std::mem::take));
            }
            self.many.push(element);
        }
        self.len += 1;
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.few.get(..self.len).unwrap_or(&self.many)
    }
}

impl<T, const N: usize> DerefMut for Few<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.few.get_mut(..self.len).unwrap_or(&mut self.many)
    }
}

impl<T: Default, const N: usize> FromIterator<T> for Few<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Self::default();
        for element in elements {
            few.push(element);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_every_length_are_as_they_were_filled() {
        for len in 0..20 {
            let mut list: Few<usize> = (0..len).collect();
            assert!(list.iter().copied().eq(0..len));
            list.reverse();
            assert!(list.iter().copied().eq((0..len).rev()));
        }
    }
}
