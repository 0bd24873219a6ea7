//! FibPro.
