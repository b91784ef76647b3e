//! Takes in webhooks: the half of the story in which a caller is waiting.
#[cfg(test)]
pub(crate) mod tests;
