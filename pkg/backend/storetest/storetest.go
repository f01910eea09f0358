// Package storetest tests implementations of backend.Store.
package storetest
