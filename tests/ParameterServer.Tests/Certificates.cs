using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>An authority of a job, and certificates of its server and worker.</summary>
internal sealed class Certificates : IDisposable
{
    internal const string ServerPurpose = "1.3.6.1.5.5.7.3.1", ClientPurpose = "1.3.6.1.5.5.7.3.2";
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    internal Certificates(TimeSpan? validFor = null)
    {
        CertificateRequest request = new("CN=job authority", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        using X509Certificate2 whole = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-2), DateTimeOffset.UtcNow.AddDays(2));
        Authority = X509CertificateLoader.LoadCertificate(whole.RawData);
        Server = Issue(whole, "CN=parameter server", ServerPurpose, validFor);
        Worker = Issue(whole, "CN=worker", ClientPurpose, validFor);
    }

    internal X509Certificate2 Authority { get; }

    internal X509Certificate2 Server { get; }

    internal X509Certificate2 Worker { get; }

    internal RemoteParameterServerOptions WorkerOptions() => Served.Options() with { Secret = null, UsesTls = true, ServerAuthorities = [Authority], ServerName = "localhost", Certificate = Worker };

    public void Dispose()
    {
        foreach (X509Certificate2 certificate in new[] { Authority, Server, Worker }) certificate.Dispose();
        _key.Dispose();
    }

    private static X509Certificate2 Issue(X509Certificate2 authority, string name, string purpose, TimeSpan? validFor)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], critical: false));
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset from = DateTimeOffset.UtcNow.AddDays(-1);
        using X509Certificate2 bare = request.Create(authority, from, from + (validFor ?? TimeSpan.FromDays(2)), RandomNumberGenerator.GetBytes(8));
        using X509Certificate2 whole = bare.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null);
    }
}
