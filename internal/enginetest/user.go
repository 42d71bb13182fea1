package enginetest

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// User and Password are those of [OpenAsUser].
const (
	User     = "holdfast"
	Password = "acl-s3cr3t"
)

// OpenAsUser returns an engine on servers that know User, by the rule that the test has given it. The error is what the
// instances have to object, and is nil when they are all up. What User may not do may fail when the engine is closed.
func OpenAsUser(t testing.TB, servers []*redistest.Server, cfg engine.Config) (*engine.Engine, error) {
	t.Helper()
	var instances []*instance.Instance
	for _, s := range servers {
		instances = append(instances, Dial(t, s.URL(), instance.Config{Username: User, Password: Password, Logger: cfg.Logger}))
	}
	e := newEngine(t, cfg, instances, func(error) bool { return true })
	var errs []error
	for n, i := range instances {
		<-i.Ready()
		errs = append(errs, e.Instances()[n].Err)
	}
	return e, errors.Join(errs...)
}
