//! Seeded synthetic people and loaders for real collections.
