#!/usr/bin/env bash
# A configuration of Kubernetes's leader election that passes its check has two leaders when one loses the API server.
#
# Expected: the leader gives up after RenewDeadline without a renewal, others take over after LeaseDuration; NewLeaderElector refuses a
# LeaseDuration that is not longer than RenewDeadline, and a RenewDeadline not longer than 1.2 RetryPeriod (documentation and check of package
# leaderelection). 5 s, 4 s and 3 s pass.
# What happens: RenewDeadline counts from the first try that fails, and that is a RetryPeriod after the last that did not. So the leader goes on for
# RetryPeriod + RenewDeadline, 7 s after its last renewal, and the others wait for 5 s.
# Seen with: k8s.io/client-go 0.37.2, against its own simulated API server.
# Who cares: controllers with a fail-over faster than the defaults (15 s, 10 s and 2 s are right). Keep LeaseDuration above RetryPeriod + RenewDeadline,
# with room for a slow request and for the clocks' rates.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

program election k8s.io/client-go@v0.37.2 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// reached is a lock in the API server, until the network to it is cut.
type reached struct {
	resourcelock.Interface
	cut     atomic.Bool
	renewed func()
}

var errCut = errors.New("no route to host")

func (l *reached) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if l.cut.Load() {
		return nil, nil, errCut
	}
	return l.Interface.Get(ctx)
}

func (l *reached) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if l.cut.Load() {
		return errCut
	}
	err := l.Interface.Update(ctx, r)
	if err == nil && l.renewed != nil {
		l.renewed()
	}
	return err
}

func main() {
	klog.SetLogger(logr.Discard())
	api := fake.NewClientset()
	candidate := func(name string, started, stopped func()) *reached {
		lock := &reached{Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: "default", Name: "job"},
			Client:     api.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}}
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock:          lock,
			LeaseDuration: 5 * time.Second,
			RenewDeadline: 4 * time.Second,
			RetryPeriod:   3 * time.Second,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { started() },
				OnStoppedLeading: stopped,
			},
		})
		if err != nil {
			panic(err)
		}
		go elector.Run(context.Background())
		return lock
	}

	leads, stops, other := make(chan bool, 1), make(chan time.Time, 1), make(chan time.Time, 100)
	first := candidate("first", func() { leads <- true }, func() { stops <- time.Now() })
	<-leads
	renewal := make(chan time.Time, 1)
	first.renewed = func() { // Its next renewal is its last.
		if first.cut.CompareAndSwap(false, true) {
			renewal <- time.Now()
		}
	}
	for i := range 50 { // They look every 3 to 6.6 s.
		candidate(fmt.Sprint("other ", i), func() { other <- time.Now() }, func() {})
		time.Sleep(20 * time.Millisecond)
	}
	last := <-renewal
	taken := <-other
	fmt.Printf("another leads %.1f s after the first's last renewal\n", taken.Sub(last).Seconds())
	end := <-stops
	fmt.Printf("the first stops after %.1f s\n", end.Sub(last).Seconds())
	if end.Sub(taken) < 500*time.Millisecond {
		os.Exit(1)
	}
}
GO
"$work/election/program" || fail "one leader at a time"
