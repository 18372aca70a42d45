//! What can be measured of a window, one entry each: its id, its unit, which direction is better and
//! how it follows from a window.
