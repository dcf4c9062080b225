using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A variable on a parameter server.</summary>
/// <param name="Name">The dotted name in the model.</param>
/// <param name="Shape">Its extents; f32.</param>
/// <param name="IsState">False: a parameter, changed by gradients; true: state, changed by what passes make of it.</param>
public sealed record StoredVariable(string Name, Shape Shape, bool IsState);

/// <summary>The variables of a model, or of one server's part of it, in the order in which their elements lie in vectors. Immutable.</summary>
public sealed class VariableLayout
{
    /// <summary>Variables that a layout may have: many more than any model.</summary>
    public const int LargestCount = 1 << 20;

    /// <param name="variables">At least one; names are unique.</param>
    /// <exception cref="ArgumentException">None, too many, or a name twice.</exception>
    public VariableLayout(IEnumerable<StoredVariable> variables)
    {
        ArgumentNullException.ThrowIfNull(variables);
        Variables = [.. variables];
        if (Variables.Count is 0 or > LargestCount) throw new ArgumentException($"a layout has 1 to {LargestCount:N0} variables, found {Variables.Count}", nameof(variables));
        if (Variables.GroupBy(variable => variable.Name).FirstOrDefault(group => group.Count() > 1) is { } twice) throw new ArgumentException($"variable '{twice.Key}' is there twice", nameof(variables));
        ElementCount = Variables.Sum(variable => variable.Shape.ElementCount);
    }

    /// <summary>The variables in their order.</summary>
    public IReadOnlyList<StoredVariable> Variables { get; }

    /// <summary>Elements of all.</summary>
    public long ElementCount { get; }

    /// <summary>A model's parameters, those that get no gradient as state, then its state.</summary>
    public static VariableLayout Of(Module model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new VariableLayout([.. model.Parameters().Select(parameter => new StoredVariable(parameter.Name, parameter.Shape, IsState: !parameter.RequiresGradient)),
            .. model.StateTensors().Select(state => new StoredVariable(state.Name, state.Shape, IsState: true))]);
    }

    /// <summary>
    /// Divides whole variables among servers so that each has about as many elements: the largest first, each to the server that has least (the first of several). Depends on names' order and shapes
    /// only, so that all workers divide alike.
    /// </summary>
    /// <exception cref="ArgumentException">There are fewer variables than servers.</exception>
    public IReadOnlyList<VariableLayout> Divide(int serverCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(serverCount);
        if (serverCount > Variables.Count) throw new ArgumentException($"{Variables.Count} variables on {serverCount} servers: some would have none; use at most {Variables.Count}", nameof(serverCount));
        int[] serverOf = new int[Variables.Count];
        long[] loads = new long[serverCount];
        foreach (int variable in Enumerable.Range(0, Variables.Count).OrderByDescending(i => Variables[i].Shape.ElementCount))
        {
            int least = Array.IndexOf(loads, loads.Min());
            serverOf[variable] = least;
            // Empty variables count too: no server is left without any.
            loads[least] += Math.Max(1, Variables[variable].Shape.ElementCount);
        }
        return [.. Enumerable.Range(0, serverCount).Select(server => new VariableLayout(Variables.Where((_, i) => serverOf[i] == server)))];
    }

    /// <summary>Compares what a worker expects with what a server has.</summary>
    /// <exception cref="StateMismatchException">They differ.</exception>
    internal void CheckSame(VariableLayout expected)
    {
        if (Variables.SequenceEqual(expected.Variables)) return;
        Dictionary<string, StoredVariable> here = Variables.ToDictionary(variable => variable.Name), there = expected.Variables.ToDictionary(variable => variable.Name);
        string[] missing = [.. there.Keys.Where(name => !here.ContainsKey(name))], unexpected = [.. here.Keys.Where(name => !there.ContainsKey(name))];
        string[] different = [.. there.Values.Where(variable => here.TryGetValue(variable.Name, out StoredVariable? stored) && stored != variable)
            .Select(variable => $"{variable.Name} is {Describe(here[variable.Name])} on the server, the worker has {Describe(variable)}")];
        throw new StateMismatchException(missing, unexpected, missing.Length + unexpected.Length + different.Length > 0 ? different : ["the variables are in another order"]);

        static string Describe(StoredVariable variable) => $"{(variable.IsState ? "state" : "a parameter")} {variable.Shape}";
    }
}
