// Writes what cert-manager stores while an issuer has not answered yet: temporary.json is what it printed.
//
// The certificates are made by cert-manager's own function. The Secrets around them are as its controller
// writes them (issuing/internal/secret.go and internal/controller/certificates/secrets.go, which nobody else
// may import): annotations about the certificate, its Certificate's name, and no word about an issuer.
//
//	go run . >temporary.json
package main

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"os"
	"runtime/debug"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	meta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const module = "github.com/cert-manager/cert-manager"

// A century, so that tests on real API servers, whose clock is the real one, don't see it expire.
var life = metav1.Duration{Duration: 100 * 365 * 24 * time.Hour}

type recorded struct {
	Version       string `json:"version"`
	Issuer        pair   `json:"issuer"`
	ClusterIssuer pair   `json:"clusterIssuer"`
}

type pair struct {
	Secret      *core.Secret             `json:"secret"`
	Certificate *certmanager.Certificate `json:"certificate"`
}

func main() {
	homarr := certificate("web-homarr-tls", "Issuer", certmanager.ECDSAKeyAlgorithm, "homarr.example.org", "start.example.org")
	homarr.Spec.CommonName = "homarr.example.org"
	grafana := certificate("web-grafana-tls", "ClusterIssuer", certmanager.RSAKeyAlgorithm, "grafana.example.org")
	output := json.NewEncoder(os.Stdout)
	output.SetIndent("", "  ")
	check(output.Encode(recorded{
		Version:       version(),
		Issuer:        pair{temporary(homarr), homarr},
		ClusterIssuer: pair{temporary(grafana), grafana},
	}))
}

func certificate(name, kind string, algorithm certmanager.PrivateKeyAlgorithm, names ...string) *certmanager.Certificate {
	return &certmanager.Certificate{
		TypeMeta: metav1.TypeMeta{APIVersion: "cert-manager.io/v1", Kind: "Certificate"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Namespace:   "certificates-ops",
			Annotations: map[string]string{certmanager.IssueTemporaryCertificateAnnotation: "true"},
		},
		Spec: certmanager.CertificateSpec{
			SecretName: name,
			DNSNames:   names,
			Duration:   &life,
			IssuerRef:  meta.IssuerReference{Name: "letsencrypt-prod", Kind: kind},
			PrivateKey: &certmanager.CertificatePrivateKey{Algorithm: algorithm},
		},
	}
}

func temporary(of *certmanager.Certificate) *core.Secret {
	signer, err := pki.GeneratePrivateKeyForCertificate(of)
	check(err)
	key, err := pki.EncodePrivateKey(signer.(crypto.PrivateKey), certmanager.PKCS1)
	check(err)
	written, err := pki.GenerateLocallySignedTemporaryCertificate(of, key)
	check(err)
	parsed, err := pki.DecodeX509CertificateBytes(written)
	check(err)
	annotations := annotationsOf(parsed)
	annotations[certmanager.CertificateNameKey] = of.Name
	return &core.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        of.Spec.SecretName,
			Namespace:   of.Namespace,
			Labels:      map[string]string{certmanager.PartOfCertManagerControllerLabelKey: "true"},
			Annotations: annotations,
		},
		Type: core.SecretTypeTLS,
		Data: map[string][]byte{core.TLSCertKey: written, core.TLSPrivateKeyKey: key},
	}
}

func annotationsOf(certificate *x509.Certificate) map[string]string {
	annotations := map[string]string{
		certmanager.CommonNameAnnotationKey: certificate.Subject.CommonName,
		certmanager.AltNamesAnnotationKey:   strings.Join(certificate.DNSNames, ","),
		certmanager.IPSANAnnotationKey:      "",
		certmanager.URISANAnnotationKey:     "",
	}
	if number := certificate.Subject.SerialNumber; number != "" {
		annotations[certmanager.SubjectSerialNumberAnnotationKey] = number
	}
	return annotations
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			return module + " " + dependency.Version
		}
	}
	panic(module + " is not built in")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
