using System.Globalization;
using System.Net;
using DistTrain.Collectives;
using DistTrain.ParameterServer;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>disttrain train</c> as one of the processes of <c>disttrain launch --servers</c>: a server, or a worker that reaches servers over the network.</summary>
internal static class ParameterServerRole
{
    // Servers know no epochs: without --checkpoint-every they save themselves by the clock.
    private static readonly TimeSpan s_saveInterval = TimeSpan.FromSeconds(10);

    /// <returns>Null: this process has no such role.</returns>
    public static ParameterServerEnvironment? Detect(TrainOptions options)
    {
        ParameterServerEnvironment? role;
        try
        {
            role = ParameterServerEnvironment.Detect();
        }
        catch (FormatException failure)
        {
            throw new UsageException(failure.Message);
        }
        if (role is null) return null;
        if (options.Strategy != "parameter-server") throw new UsageException($"this process is a {(role.IsServer ? "server" : "worker")} of parameter servers ({ParameterServerEnvironment.RoleVariable}): expected --strategy parameter-server");
        if (options.Servers != 1 && options.Servers != role.Servers.Count) throw new UsageException($"--servers {options.Servers}: the job has {role.Servers.Count}, which disttrain launch says; leave it out here");
        if (role.Servers.Count > 1 && (options.StalenessBound is not null || options.GradientsPerUpdate > 1))
            throw new UsageException($"{role.Servers.Count} parameter servers with --staleness-bound or --gradients-per-update: each server counts by itself, so these need one server");
        return role;
    }

    /// <summary>How workers reach servers.</summary>
    /// <param name="stopping">Ends the wait for a server that is away.</param>
    public static RemoteParameterServerOptions Security(CancellationToken stopping)
    {
        RemoteParameterServerOptions options = new() { Secret = Secret(), Stopping = stopping };
        return TlsFiles.FromEnvironment() is { } tls ? options with { UsesTls = true, Certificate = tls.Certificate, ServerAuthorities = tls.Authorities } : options;
    }

    /// <summary>Serves until it is told to stop, then saves.</summary>
    /// <param name="options">What workers train with: the optimizer, checkpoints, rules.</param>
    /// <param name="role">Which server this is.</param>
    /// <param name="stop">SIGTERM.</param>
    /// <param name="cancellation">SIGINT.</param>
    public static int Serve(TrainOptions options, ParameterServerEnvironment role, CancellationToken stop, CancellationToken cancellation)
    {
        using ParameterStore store = new(options.CreateOptimizer, StoreOptions(options, role));
        DnsEndPoint own = role.Servers[role.Index];
        bool isLocal = own.Host is "127.0.0.1" or "localhost";
        using TlsFiles? tls = TlsFiles.FromEnvironment();
        ParameterServerHostOptions host = new() { Address = isLocal ? IPAddress.Loopback : null, Port = own.Port, Secret = Secret(), Certificate = tls?.Certificate, WorkerAuthorities = tls?.Authorities };
        ParameterServerHost server = ParameterServerHost.StartAsync(store, host, cancellation).GetAwaiter().GetResult();
        try
        {
            ProgressDisplay.Say($"parameter server {role.Index} of {role.Servers.Count} listens on {own.Host}:{server.Port}{(tls is null ? "" : ", TLS with certificates on both sides")}");
            using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(stop, cancellation);
            either.Token.WaitHandle.WaitOne();
        }
        finally
        {
            server.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
        store.Save();
        ParameterServerStatistics end = store.Statistics;
        ProgressDisplay.Say(string.Create(CultureInfo.InvariantCulture,
            $"parameter server {role.Index}: {end.Version:N0} updates, {end.StepsDone:N0} steps done, staleness {end.MeanStaleness:F2} on average, at most {end.LargestStaleness}; {end.DroppedCount:N0} gradients dropped, {server.RefusalCount:N0} connections refused"));
        return ExitCode.Ok;
    }

    private static ParameterStoreOptions StoreOptions(TrainOptions options, ParameterServerEnvironment role)
    {
        ParameterStoreOptions rules = StrategyChoice.ServerOptions(options);
        if (rules.Checkpoints is not { } checkpoints) return rules;
        return rules with
        {
            Checkpoints = checkpoints with
            {
                Folder = role.Servers.Count == 1 ? checkpoints.Folder : Path.Combine(checkpoints.Folder!, $"server-{role.Index}"),
                Every = checkpoints.EveryStepCount > 0 ? null : s_saveInterval,
                // The same run, whatever it was begun with.
                Resumes = checkpoints.Resumes || role.RestartCount > 0,
            },
        };
    }

    private static JobSecret Secret() => JobSecret.FromEnvironment()
        ?? throw new UsageException($"parameter servers and their workers prove to each other that they know the job's secret: give each {JobSecret.Variable} (made once, by: openssl rand -hex 32) or {JobSecret.FileVariable}; disttrain launch does");
}
