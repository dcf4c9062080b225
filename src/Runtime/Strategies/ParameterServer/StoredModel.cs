using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The variables of a layout as a module without a forward pass: under the names that they have in the model, so that checkpoints can be exchanged.</summary>
internal sealed class StoredModel : Module
{
    private readonly Dictionary<string, Tensor> _values;

    internal StoredModel(ExecutionStream stream, VariableLayout layout)
    {
        foreach (StoredVariable variable in layout.Variables) Add(this, variable.Name, variable);
        Initialize(stream, seed: 0);
        _values = SaveState().ToDictionary();
        Dictionary<string, Parameter> byName = Parameters().ToDictionary(parameter => parameter.Name);
        InOrder = [.. layout.Variables.Where(variable => !variable.IsState).Select(variable => byName[variable.Name])];
        Values = [.. layout.Variables.Select(variable => _values[variable.Name])];
    }

    /// <summary>The parameters in the layout's order.</summary>
    internal IReadOnlyList<Parameter> InOrder { get; }

    /// <summary>The values of all variables in the layout's order.</summary>
    internal IReadOnlyList<Tensor> Values { get; }

    public override Variable Forward(Variable input) => throw new NotSupportedException("a parameter server computes no forward pass");

    private static void Add(StoredModel parent, string name, StoredVariable variable)
    {
        int dot = name.IndexOf('.', StringComparison.Ordinal);
        if (dot >= 0) Add(parent.Child(name[..dot]), name[(dot + 1)..], variable);
        else if (variable.IsState) parent.RegisterState(name, variable.Shape, 0);
        else parent.Register(name, variable.Shape, Initializer.Zeros);
    }

    private StoredModel()
    {
        (_values, InOrder, Values) = ([], [], []);
    }

    private StoredModel Child(string name) => (StoredModel?)Children.FirstOrDefault(child => child.Name == name).Module ?? Register(name, new StoredModel());
}
