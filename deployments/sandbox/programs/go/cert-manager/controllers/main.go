// Runs cert-manager's own controllers of certificates, issuers and ACME orders against one API server.
//
// cert-manager's command cmd/controller is a Go module of its own that no module proxy serves. Its controllers
// are in the main module and register themselves when they are imported, so this program only chooses them,
// with the options that cmd/controller has by default. It has no leader election, no metrics and no webhook.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

// Of each controller; by default cert-manager has 5. A worker sleeps for a minute between its own look at a DNS01
// record and the ACME server's, and the example has eight challenges.
const workers = 20

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file of the cluster")
	nameserver := flag.String("nameserver", "", "host:port of the DNS server that has the zones of all names")
	namespace := flag.String("cluster-resource-namespace", "cert-manager", "namespace of ClusterIssuers' Secrets")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx = logf.NewContext(ctx, logf.Log, "controllers")
	if err := run(ctx, options(*kubeconfig, *nameserver, *namespace)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options returns what cmd/controller has by default, but for the DNS server, how often it is asked, and the
// time until a failed issuance is tried again, which is an hour by default and doubles each time.
func options(kubeconfig, nameserver, namespace string) controller.ContextOptions {
	found := controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: namespace},
		ACMEOptions: controller.ACMEOptions{
			DNS01Nameservers:      []string{nameserver},
			DNS01CheckRetryPeriod: time.Second,
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes: []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
	}
	// By its name, since cert-manager 1.19 has no such option, and `make compat` builds with it, too.
	backoff := reflect.ValueOf(&found.CertificateOptions).Elem().FieldByName("CertificateRequestMinimumBackoffDuration")
	if backoff.IsValid() {
		backoff.Set(reflect.ValueOf(10 * time.Second))
	}
	return found
}

// run returns nil after a signal, and an error if a controller cannot start or ends by itself.
func run(ctx context.Context, options controller.ContextOptions) error {
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	controllers := map[string]controller.Interface{}
	for name, construct := range controller.Known() {
		if controllers[name], err = construct(factory); err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	return runAll(ctx, controllers)
}

func runAll(ctx context.Context, controllers map[string]controller.Interface) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for name, one := range controllers {
		running.Go(func() {
			if err := one.Run(workers, ctx); err != nil {
				cancel(fmt.Errorf("controller %s: %w", name, err))
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != context.Canceled {
		return err
	}
	return nil
}
