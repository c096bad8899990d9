// Package auth holds the mechanisms of signing in: hashing and judging
// passwords ([Passwords], [Policy]), the tokens people carry ([Token],
// [Activation]) and when each session was last used ([Uses]).
//
// It decides nothing about accounts: who may sign in is package account's to
// say, and package commands puts the two together. Numbers follow OWASP ASVS
// 5.0 and NIST SP 800-63B-4.
package auth
