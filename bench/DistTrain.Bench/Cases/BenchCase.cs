using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The physical limit that a case is shown beside.</summary>
public enum Limit
{
    /// <summary>None is measured.</summary>
    None,

    /// <summary>Fused multiply-adds on registers alone, on as many threads.</summary>
    Arithmetic,

    /// <summary>Copying as many bytes, half read and half written.</summary>
    Copy,
}

/// <summary>One case of a bench: a shape, what is counted, how peers are asked for it and our body.</summary>
/// <param name="Bench">The bench's name, as in <c>disttrain bench NAME</c>.</param>
/// <param name="Name">The case's name, unique in the bench.</param>
/// <param name="Measure">What its number says.</param>
/// <param name="Work">The work of one call, in what <paramref name="Measure"/> counts.</param>
/// <param name="Question">The case in the words of the peer protocol (<c>bench/peers/README.md</c>).</param>
/// <param name="Open">Makes our body on a device.</param>
/// <param name="Limit">The physical limit to show.</param>
public sealed record BenchCase(
    string Bench, string Name, Measure Measure, double Work, string Question, Func<ComputeDevice, Workload> Open, Limit Limit = Limit.None)
{
    /// <summary>For BenchmarkDotNet's table.</summary>
    public override string ToString() => Name;

    /// <summary>True where our body is itself a physical limit: its rows then say <c>bound</c>.</summary>
    public bool IsLimit { get; init; }

    /// <summary>A physical limit of this case alone; its rows say <c>bound</c>.</summary>
    public Func<ComputeDevice, Workload>? OwnLimit { get; init; }

    /// <summary>False where opening and closing belongs to the work, so that it has no steady state.</summary>
    public bool IsSteady { get; init; } = true;

    /// <summary>Threads of a case that has its own number, whatever the run's; it is then measured once. Null: as many as the run's.</summary>
    public int? ThreadCount { get; init; }
}
