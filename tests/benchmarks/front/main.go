// Front serves in front of real API servers: each of its clusters has an address and an identity of its own.
//
// It reads "name uid server" lines up to an empty one, prints "name address" for each, and serves until its
// input ends. It changes nothing but the uid of the namespace kube-system, which identifies a cluster, and it
// can delay each request, as a network does. The events of a watch are not delayed.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const identity = "/api/v1/namespaces/kube-system"

func main() {
	log.SetFlags(0)
	ca := flag.String("ca", "", "certificates to trust, as PEM")
	pair := flag.String("pair", "", "key and certificate to serve with, as PEM in one file")
	delay := flag.Duration("delay", 0, "how long each request waits before it is forwarded")
	flag.Parse()
	certificate, err := tls.LoadX509KeyPair(*pair, *pair)
	check(err)
	through := transport(*ca)
	settings := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadString('\n')
		check(err)
		words := strings.Fields(line)
		if len(words) != 3 {
			break
		}
		upstream, err := url.Parse(words[2])
		check(err)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		server := &http.Server{Handler: delayed(*delay, front(upstream, through, words[1])), TLSConfig: settings}
		go func() { check(server.ServeTLS(listener, "", "")) }()
		fmt.Printf("%s https://%s\n", words[0], listener.Addr())
	}
	_, err = io.Copy(io.Discard, input)
	check(err)
}

func transport(ca string) *http.Transport {
	pem, err := os.ReadFile(ca)
	check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatal("no certificate to trust")
	}
	// Connections are kept, so that what is measured are not our handshakes with the server.
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
}

func delayed(delay time.Duration, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		time.Sleep(delay)
		handler.ServeHTTP(writer, request)
	})
}

func front(upstream *url.URL, through *http.Transport, uid string) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.Transport = through
	proxy.ModifyResponse = func(answer *http.Response) error {
		if answer.Request.URL.Path != identity || answer.StatusCode != http.StatusOK {
			return nil
		}
		return identify(answer, uid)
	}
	return proxy
}

func identify(answer *http.Response, uid string) error {
	var namespace map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&namespace); err != nil {
		return err
	}
	answer.Body.Close()
	namespace["metadata"].(map[string]any)["uid"] = uid
	body, err := json.Marshal(namespace)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.ContentLength = int64(len(body))
	answer.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return err
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
