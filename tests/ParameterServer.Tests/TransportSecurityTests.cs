using System.Security.Cryptography.X509Certificates;
using DistTrain.Collectives;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>TLS with the right certificates, wrong ones and none, and options that would let anybody in.</summary>
public sealed class TransportSecurityTests : IDisposable
{
    private readonly Certificates _job = new(), _strangers = new();

    public void Dispose()
    {
        _job.Dispose();
        _strangers.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task TLS_goes_with_a_secret_and_with_certificates(bool hasBoth)
    {
        await using Served served = await Served.StartAsync(host: new ParameterServerHostOptions { Certificate = _job.Server, Secret = Served.Secret, WorkerAuthorities = hasBoth ? [_job.Authority] : null });
        await WorksAsync(served, _job.WorkerOptions() with { Secret = Served.Secret, Certificate = hasBoth ? _job.Worker : null });
    }

    [Fact]
    public async Task A_worker_without_a_certificate_or_with_a_strangers_is_refused()
    {
        await using Served served = await StartAsync();
        foreach (X509Certificate2? certificate in new[] { null, _strangers.Worker, _job.Server })
        {
            ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(
                async () => await served.Remote(options: _job.WorkerOptions() with { Certificate = certificate, ReconnectTimeout = TimeSpan.FromSeconds(1) }).OpenAsync("a", Served.Layout));
            Assert.Contains($"parameter server 127.0.0.1:{served.Host.Port}", failure.Message, StringComparison.Ordinal);
            Assert.Equal(0, served.Store.Statistics.WorkerCount);
        }
        await WorksAsync(served, _job.WorkerOptions());
    }

    [Fact]
    public async Task A_worker_trusts_no_server_of_others_names_or_purposes()
    {
        using Certificates expired = new(validFor: TimeSpan.FromHours(1));
        foreach ((X509Certificate2 server, X509Certificate2 authority, string name) in new[]
        {
            (_strangers.Server, _job.Authority, "localhost"), (_job.Server, _job.Authority, "elsewhere.example"), (_job.Worker, _job.Authority, "localhost"), (expired.Server, expired.Authority, "localhost"),
        })
        {
            await using Served served = await Served.StartAsync(host: new ParameterServerHostOptions { Certificate = server, Secret = Served.Secret });
            ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(
                async () => await served.Remote(options: Served.Options() with { UsesTls = true, ServerAuthorities = [authority], ServerName = name }).OpenAsync("a", Served.Layout));
            Assert.StartsWith($"parameter server 127.0.0.1:{served.Host.Port}: TLS failed:", failure.Message, StringComparison.Ordinal);
            Assert.Equal(0, served.Host.ConnectionCount);
        }
    }

    [Fact]
    public async Task Without_TLS_a_worker_does_not_get_in()
    {
        await using Served served = await StartAsync();
        await Assert.ThrowsAsync<ParameterServerException>(async () => await served.Remote(options: Served.Options() with { ReconnectTimeout = TimeSpan.FromSeconds(1) }).OpenAsync("a", Served.Layout));
        await WorksAsync(served, _job.WorkerOptions());
    }

    [Fact]
    public async Task A_server_of_whom_TLS_is_wanted_and_that_has_none_is_refused()
    {
        await using Served served = await Served.StartAsync();
        await Assert.ThrowsAsync<ParameterServerException>(async () => await served.Remote(options: _job.WorkerOptions() with { ReconnectTimeout = TimeSpan.FromSeconds(1) }).OpenAsync("a", Served.Layout));
    }

    [Fact]
    public async Task Options_that_would_let_anybody_in_are_refused()
    {
        await AssertRefused(new ParameterServerHostOptions(), "neither Secret nor WorkerAuthorities: anybody who reaches the port could read and change the model");
        await AssertRefused(new ParameterServerHostOptions { Certificate = _job.Server }, "neither Secret nor WorkerAuthorities: anybody who reaches the port could read and change the model");
        await AssertRefused(new ParameterServerHostOptions { WorkerAuthorities = [_job.Authority] }, "WorkerAuthorities without Certificate: workers show their certificates in TLS, which the server needs its own for");
        await AssertRefused(new ParameterServerHostOptions { Secret = Served.Secret, Certificate = _job.Authority }, "the server's certificate has no private key (Parameter 'Certificate')");
        ArgumentException failure = Assert.Throws<ArgumentException>(() => new RemoteParameterServer("localhost", 1, new RemoteParameterServerOptions()));
        Assert.Equal("neither Secret nor UsesTls: the worker could not tell its server from a stranger", failure.Message);

        static async Task AssertRefused(ParameterServerHostOptions options, string message)
        {
            using ParameterStore store = new(parameters => new Sgd(parameters, 0));
            ArgumentException failure = await Assert.ThrowsAsync<ArgumentException>(() => ParameterServerHost.StartAsync(store, options));
            Assert.Equal(message, failure.Message);
        }
    }

    [Fact]
    public async Task A_port_that_is_taken_is_an_error_that_names_it()
    {
        await using Served served = await Served.StartAsync();
        using ParameterStore store = new(parameters => new Sgd(parameters, 0));
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(
            () => ParameterServerHost.StartAsync(store, new ParameterServerHostOptions { Secret = JobSecret.Create(), Address = System.Net.IPAddress.Loopback, Port = served.Host.Port }));
        Assert.StartsWith($"the parameter server can't listen on port {served.Host.Port} of 127.0.0.1:", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_on_all_addresses_is_reached_by_IPv4_and_by_IPv6_where_there_is_one()
    {
        using ParameterStore store = new(parameters => new Sgd(parameters, 0));
        await using ParameterServerHost host = await ParameterServerHost.StartAsync(store, new ParameterServerHostOptions { Secret = Served.Secret });
        foreach (string address in System.Net.Sockets.Socket.OSSupportsIPv6 ? ["127.0.0.1", "::1", "localhost"] : new[] { "127.0.0.1", "localhost" })
        {
            using IParameterSession session = await new RemoteParameterServer(address, host.Port, Served.Options()).OpenAsync($"by {address}", Served.Layout);
            Assert.Equal(1, session.Layout.Variables[1].Shape.ElementCount);
        }
    }

    private Task<Served> StartAsync() => Served.StartAsync(host: new ParameterServerHostOptions { Certificate = _job.Server, WorkerAuthorities = [_job.Authority], GreetingTimeout = TimeSpan.FromSeconds(2) });

    private static async Task WorksAsync(Served served, RemoteParameterServerOptions options)
    {
        using IParameterSession session = await served.Remote(options: options).OpenAsync("good", Served.Layout);
        Assert.True(await session.InitializeAsync(new float[3]));
        Assert.Equal(new PushResult(PushOutcome.Applied, 1, 0), await session.PushAsync(Served.Push(-1, 0, 1)));
    }
}
