//! Tests of the profile: each refusal by its name.
