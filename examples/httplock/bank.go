package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

// bank has a file for each user, with the balance.
type bank struct {
	locks *engine.Engine
	dir   string
}

var userName = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// ServeHTTP makes a deposit of 1, and answers with the balance. When the client goes
// away, the request's context ends: a request that waits for the lock stops waiting.
func (b bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("user")
	if !userName.MatchString(user) {
		http.Error(w, "the name of a user is 1 to 32 of a-z and 0-9", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	held, err := b.locks.Acquire(ctx, "user/"+user)
	if err != nil {
		refuse(w, err)
		return
	}
	defer func() {
		if err := held.Release(ctx); err != nil { // the deposit is made or not: that has been answered
			log.Print(err)
		}
	}()
	during, done := held.Context(ctx)
	defer done()
	balance, err := b.add(during, user, 1)
	if err != nil {
		http.Error(w, "it is not known whether the deposit was made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, balance)
}

// refuse says whether it is worth trying again. Nothing was done.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "1")
	if errors.Is(err, engine.ErrHeld) {
		http.Error(w, "another request of this user takes long", http.StatusTooManyRequests)
		return
	}
	log.Print(err) // it names the servers, which is nothing for users
	http.Error(w, "locks cannot be had", http.StatusServiceUnavailable)
}

// add reads, takes its time, and writes. It does not write when ctx has ended, and so
// when the lock is lost.
func (b bank) add(ctx context.Context, user string, amount int) (balance int, err error) {
	file := filepath.Join(b.dir, user)
	switch text, err := os.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist): // a new user
	case err != nil:
		return 0, err
	default:
		if balance, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return 0, err
		}
	}
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	balance += amount
	return balance, os.WriteFile(file, fmt.Appendln(nil, balance), 0o600)
}
