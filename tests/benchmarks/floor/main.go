// Floor sends recorded requests as fast as it can and prints the seconds that each pass took.
//
// It decides nothing, checks nothing but the status, and has every body ready: what it needs is what
// the API servers and the network need, so no client that does its work over the same API is much faster.
// With -watch it copies what changes instead; see watch.go.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type request struct {
	Method  string
	URL     string
	Headers map[string]string
	Body    []byte
}

// lane is one cluster: its requests, and one HTTP/2 connection to it.
type lane struct {
	client   *http.Client
	requests []request
}

func main() {
	log.SetFlags(0)
	file := flag.String("requests", "", "one request as JSON per line")
	ca := flag.String("ca", "", "certificates to trust, as PEM")
	concurrency := flag.Int("concurrency", 8, "requests at a time per cluster")
	passes := flag.Int("passes", 1, "how often to send them all; the first pass opens the connections")
	work := flag.String("watch", "", "what to copy at each change, as JSON, instead of sending requests")
	flag.Parse()
	roots, err := trusted(*ca)
	if err != nil {
		log.Fatal(err)
	}
	if *work != "" {
		log.Fatal(watch(*work, roots))
	}
	lanes, err := read(*file, roots)
	if err != nil {
		log.Fatal(err)
	}
	for range *passes {
		begin := time.Now()
		if err := pass(lanes, *concurrency); err != nil {
			log.Fatal(err)
		}
		fmt.Println(time.Since(begin).Seconds())
	}
}

func trusted(ca string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate to trust")
	}
	return roots, nil
}

func read(file string, roots *x509.CertPool) (map[string]*lane, error) {
	input, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer input.Close()
	lanes := map[string]*lane{}
	decoder := json.NewDecoder(bufio.NewReader(input))
	for {
		var next request
		if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
			return lanes, nil
		} else if err != nil {
			return nil, err
		}
		target, err := url.Parse(next.URL)
		if err != nil {
			return nil, err
		}
		if lanes[target.Host] == nil {
			lanes[target.Host] = &lane{client: newClient(roots)}
		}
		lanes[target.Host].requests = append(lanes[target.Host].requests, next)
	}
}

// newClient keeps to one connection: without the limit, all first requests would open one each.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		MaxConnsPerHost:   1,
	}}
}

func pass(lanes map[string]*lane, concurrency int) error {
	var group sync.WaitGroup
	failures := make(chan error, concurrency*len(lanes))
	for _, one := range lanes {
		var next atomic.Int64
		for range concurrency {
			group.Go(func() {
				for index := next.Add(1); index <= int64(len(one.requests)); index = next.Add(1) {
					if err := one.send(one.requests[index-1]); err != nil {
						failures <- err
						return
					}
				}
			})
		}
	}
	group.Wait()
	close(failures)
	return <-failures // nil if there is none
}

func (l *lane) send(r request) error {
	prepared, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	for key, value := range r.Headers {
		prepared.Header.Set(key, value)
	}
	answer, err := l.client.Do(prepared)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s", r.Method, r.URL, answer.Status)
	}
	if answer.ProtoMajor != 2 {
		return fmt.Errorf("%s: not HTTP/2 but %s", r.URL, answer.Proto)
	}
	return nil
}
