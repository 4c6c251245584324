//! Databases in MaxMind's format (`.mmdb`), from any maker.
