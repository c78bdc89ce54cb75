//! finger
